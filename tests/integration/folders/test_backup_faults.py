"""A backup or restore that is killed, or whose disk is full: nothing half is left, or nothing runs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sota.kit.errors import StartError
from sota.kit.files.data_folder import RESTORING
from sota.kit.runtime.faults import VARIABLE
from sota.kit.sql.migrations import upgrade
from tests.support.backups import KeptBackend, typed
from tests.support.databases import MariaDbServer
from tests.support.thorough import sample

pytestmark = pytest.mark.anyio
SAMPLE = 1


def sota(*arguments: str, faults: Path | None = None, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; ``limit`` is how large a file it may write, as a disk that is full then."""
    command = [sys.executable, "-m", "sota.cli", *arguments]
    if limit is not None:
        command = ["prlimit", f"--fsize={limit}", *command]
    environment = {**os.environ, **({VARIABLE: str(faults)} if faults else {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
async def test_restore_that_is_killed_is_done_again_and_runs_nothing_until_then(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: MariaDbServer | None = request.getfixturevalue("mariadb_server") if engine == "mariadb" else None
    backend, faults = KeptBackend(tmp_path / "data", server.url if server else None), tmp_path / "faults"
    await backend.fill()
    file = tmp_path / "backup.zip"
    assert await typed("backup", str(file), *backend.options) == 0
    wanted, files = {**await backend.rows(), "web.session": []}, backend.files()
    restore = ("restore", str(file), *backend.options, "--force")
    assert sota(*restore, faults=faults).returncode == 0
    for step, number in places(faults):
        await backend.change()
        before, before_files = await backend.rows(), backend.files()
        write(faults / "plan", f"before {step} {number}")
        assert sota(*restore, faults=faults).returncode == -signal.SIGKILL, (step, number)
        if (backend.data / RESTORING).exists():
            refused = sota("up", *backend.options)
            assert (refused.returncode, "a restore was interrupted" in refused.stderr) == (2, True), refused
            if server is not None and step != f"write {RESTORING}":
                with pytest.raises(StartError, match="a restore was interrupted"):
                    await start_all(backend)
        elif step != "restore: forget":  # then all is done
            left = {name: content for name, content in backend.files().items() if "/.restor" not in name}
            assert (await backend.rows(), left) == (before, before_files), (step, number)
        again = sota(*restore)
        assert again.returncode == 0, again.stderr
        assert (await backend.rows(), backend.files()) == (wanted, files), (step, number)
        assert not list(backend.data.rglob(".restor*"))


def places(faults: Path) -> list[tuple[str, int]]:
    """List the places where a restore may be killed: all of them, or a few."""
    counts = Counter((faults / "steps").read_text().splitlines())
    found = [(step, number) for step, count in sorted(counts.items()) for number in range(1, count + 1)]
    return sample(found, SAMPLE)


async def start_all(backend: KeptBackend) -> None:
    for program in ("web", "core", "resolver"):
        database = backend.database(program)
        try:
            await upgrade(database, f"sota.{program}.migrations")
        finally:
            await database.close()


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def test_full_disk_leaves_no_half_backup_and_changes_nothing(tmp_path: Path) -> None:
    backend, file = KeptBackend(tmp_path / "data"), tmp_path / "backups" / "backup.zip"
    await backend.fill()
    (tmp_path / "backups").mkdir()
    full = sota("backup", str(file), *backend.options, limit=150_000)
    assert (full.returncode, full.stderr.count("\n"), "no backup was written" in full.stderr) == (1, 1, True), full
    assert list_names(file.parent) == []
    assert sota("backup", str(file), *backend.options).returncode == 0
    rows, files = await backend.rows(), backend.files()
    full = sota("restore", str(file), *backend.options, "--force", limit=150_000)
    assert (full.returncode, full.stderr.count("\n"), "nothing was changed" in full.stderr) == (1, 1, True), full
    assert (await backend.rows(), backend.files()) == (rows, files)


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
