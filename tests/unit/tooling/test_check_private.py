"""``make lint`` refuses private members of third-party packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check-private"
PACKAGE = """
class Base:
    def __init__(self):
        self._thread = None

    def _execute(self): ...
"""
SUBCLASS = "import other_package\nclass Own(other_package.Base):\n    own = 1\n"


def check(folder: Path, source: str) -> list[str]:
    """Check one file; return what is refused in it."""
    planted = folder / "planted.py"
    planted.write_text(source)
    (folder / "other_package.py").write_text(PACKAGE)
    command = [sys.executable, str(SCRIPT), str(planted)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(folder)}
    )
    assert not done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(f"{planted}:")]
    assert done.returncode == (1 if lines else 0)
    return [line.rpartition(": ")[2] for line in lines]


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("from uvicorn.server import _handle\n", "uvicorn.server._handle"),
        ("from uvicorn._types import Scope\n", "uvicorn._types.Scope"),
        ("import uvicorn._types\n", "uvicorn._types"),
        ("import sqlalchemy as sa\nsa._inner\n", "sa._inner"),
        ("import sqlalchemy as sa\nsa.inspect(object)._inner\n", "sa.inspect(object)._inner"),
        ("def run(row):\n    return row._inner\n", "row._inner"),
        ("def run(row):\n    return getattr(row, '_inner')\n", "row._inner"),
        ("from other_package import _Private\nclass Own(_Private):\n    pass\n", "other_package._Private"),
        (SUBCLASS + "    def run(self):\n        self._thread = None\n", "other_package.Base._thread"),
        (SUBCLASS + "    def _execute(self):\n        pass\n", "other_package.Base._execute"),
        (SUBCLASS + "class Deeper(Own):\n    def _execute(self):\n        pass\n", "other_package.Base._execute"),
    ],
)
def test_private_member_of_another_package_is_refused(source: str, refused: str, tmp_path: Path) -> None:
    assert check(tmp_path, source) == [refused]


@pytest.mark.parametrize(
    "source",
    [
        "class Own:\n    def __init__(self, other):\n        self._mine = other._mine\n",
        SUBCLASS + "    def start(self):\n        self._mine = self.own\n",
        "import os, collections\nos._exit(collections.namedtuple('A', 'b')(1)._asdict()['b'])\n",
        "def run(row):\n    return row._mapping['vin'], row.__class__\n",
    ],
)
def test_own_and_documented_members_pass(source: str, tmp_path: Path) -> None:
    assert check(tmp_path, source) == []
