"""``make lint`` finds import circles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check-imports"


def check(folder: Path, **modules: str) -> subprocess.CompletedProcess[str]:
    """Check a package of these modules."""
    package = folder / "planted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, content in modules.items():
        (package / f"{name}.py").write_text(content)
    return subprocess.run(
        [sys.executable, str(SCRIPT), "planted"],
        env={"PYTHONPATH": str(folder)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "last",
    [
        "from planted import first",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from planted.first import x",
        "def late():\n    import planted.first",
    ],
)
def test_a_circle_is_found_however_it_is_closed(last: str, tmp_path: Path) -> None:
    done = check(tmp_path, first="import planted.second", second="from planted import third", third=last, other="")
    assert done.stdout == "import circle: planted.first, planted.second, planted.third\n", done.stderr
    assert done.returncode == 1


def test_imports_without_a_circle_pass(tmp_path: Path) -> None:
    done = check(tmp_path, first="import planted.second\nimport planted.third", second="import planted.third", third="")
    assert (done.stdout, done.returncode) == ("check-imports: 4 modules, no circle\n", 0), done.stderr


def test_the_product_has_none() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
