"""The commands of how-to pages that need no backend, run with folders and databases of the test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.document_commands import RUN_BY, runnable_blocks

ROOT = Path(__file__).parents[3]
PAGES = sorted(page for page, test in RUN_BY.items() if test == f"tests/integration/folders/{Path(__file__).name}")
PROGRAMS = ("web", "core", "resolver")
FOLDERS = ("etc/sota/secrets", "var/lib/sota/rvi-node", *(f"var/lib/sota/{program}" for program in PROGRAMS))
# Owners of files are the machine's business; chown of another user needs root.
SHELL = """set -eu
chown() { :; }
"""
UPGRADES = "".join(f"sota db upgrade {program} --config /etc/sota/sota.toml\n" for program in PROGRAMS)
AUTHORITY = "sota authority new /var/lib/sota/core/authority\n"
NEW_TOKEN = "sota tokens list --config /etc/sota/sota.toml | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'"
# Commands that must come before a page's own.
BEFORE = {
    "manage-accounts.md": UPGRADES,
    "read-the-audit-trail.md": UPGRADES,
    "set-up-a-vehicle.md": AUTHORITY,
    "rotate-the-authority.md": AUTHORITY,
    "sign-packages.md": "echo package > navigation_2.0.0.deb\n",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: Path(page).stem)
def test_commands_of_a_page_work(page: str, tmp_path: Path) -> None:
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    databases = [f'[{program}]\ndatabase = "sqlite:////var/lib/sota/{program}/{program}.db"\n' for program in PROGRAMS]
    (tmp_path / "etc/sota/sota.toml").write_text(of_this_test("".join(databases), tmp_path))
    for program in PROGRAMS:
        (tmp_path / f"var/lib/sota/{program}/{program}.db").touch()
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    commands = BEFORE.get(Path(page).name, "") + "\n".join(runnable_blocks((ROOT / page).read_text()))
    # The page revokes a token by an id that it made up: take the one that was just made.
    commands = re.sub(r"tokens revoke [0-9a-f-]{36}", f"tokens revoke $({NEW_TOKEN})", commands)
    done = subprocess.run(
        ["bash", "-c", SHELL + of_this_test(commands, tmp_path)],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr


def of_this_test(text: str, folder: Path) -> str:
    """Replace the system's folders by those of this test."""
    return re.sub(r"(?<![\w.-])/(var|etc)/", rf"{folder}/\1/", text)
