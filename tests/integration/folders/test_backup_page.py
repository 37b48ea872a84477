"""The commands of the pages on backups, moving and MariaDB, run as they stand there, on a backend of each kind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from tests.support.backups import PROGRAMS, KeptBackend, fill_with
from tests.support.databases import MariaDbServer
from tests.support.document_commands import runnable_blocks

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
SCHEMAS = [f"sota_{program}" for program in PROGRAMS]


def script_of(number: int, folder: Path, page: str = "back-up-and-restore.md") -> str:
    """Return a block of a page, with folders of this test in place of the system's."""
    text = runnable_blocks((ROOT / "docs" / "how-to" / page).read_text())[number]
    return re.sub(r"(?<![\w.])/(srv|var|etc)/", rf"{folder}/\1/", text)


def run(script: str, path: Path | None = None) -> str:
    """Run commands in a shell that ends at the first failure; ``path`` has programs of the test's own."""
    found = ":".join(str(one) for one in (path, Path(sys.executable).parent, os.environ["PATH"]) if one is not None)
    environment = {**os.environ, "PATH": found}
    done = subprocess.run(
        ["sh", "-euc", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_folder_of_sota_up(tmp_path: Path) -> None:
    backend = KeptBackend(tmp_path / "var" / "lib" / "sota")
    await backend.fill()
    (tmp_path / "srv" / "backups").mkdir(parents=True)
    rows, files = {**await backend.rows(), "web.session": []}, backend.files()
    assert "whole, made" in run(script_of(0, tmp_path))
    await backend.change()
    assert run(script_of(1, tmp_path)).count("1 vehicles have another epoch") == 2
    other = KeptBackend(tmp_path / "var" / "lib" / "other")
    assert [await backend.rows(), await other.rows()] == [rows, rows]
    assert [backend.files(), other.files()] == [files, files]


async def test_moving_to_another_machine(tmp_path: Path) -> None:
    page = "move-to-another-machine.md"
    backend = KeptBackend(tmp_path / "var" / "lib" / "sota")
    await backend.fill()
    (tmp_path / "srv" / "backups").mkdir(parents=True)
    files = backend.files()
    run(script_of(0, tmp_path, page))
    backend.data.rename(tmp_path / "old")
    run(script_of(1, tmp_path, page))
    assert backend.files() == files
    run(script_of(2, tmp_path, page))
    assert backend.files() != files


async def test_schemas_and_users_on_mariadb(
    tmp_path: Path, mariadb_server: MariaDbServer, mariadb_command: Path
) -> None:
    page, etc = "connect-mariadb.md", tmp_path / "etc" / "sota"
    (etc / "secrets").mkdir(parents=True)
    (tmp_path / "var" / "lib" / "sota" / "core").mkdir(parents=True)
    settings = (ROOT / "deploy" / "sota.toml").read_text().replace("127.0.0.1:3306", f"127.0.0.1:{mariadb_server.port}")
    settings = settings.replace(
        "/run/credentials/sota-core.service/database-password", f"{etc}/secrets/core-database.password"
    )
    (etc / "sota.toml").write_text(re.sub(r"\"/(var|run)/", rf'"{tmp_path}/\1/', settings))
    run(script_of(0, tmp_path, page), mariadb_command)
    assert "is at the newest revision" in run(script_of(1, tmp_path, page))


@pytest.fixture
def mariadb_command(mariadb_server: MariaDbServer, tmp_path: Path) -> Iterator[Path]:
    """Return a folder with the command ``mariadb``, which reaches the tests' own server as its administrator."""
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("mariadb")
    (folder / "mariadb").write_text(f"#!/bin/sh\nexec {real} --no-defaults --socket={mariadb_server.socket} -uroot\n")
    (folder / "mariadb").chmod(0o755)
    yield folder
    users = [*SCHEMAS, "sota_backup", "sota_restore"]
    mariadb_server.execute(*(f"DROP DATABASE IF EXISTS {name}" for name in SCHEMAS))
    mariadb_server.execute(*(f"DROP USER IF EXISTS {name}@'127.0.0.1'" for name in users))


async def test_programs_apart_on_mariadb(tmp_path: Path, mariadb_server: MariaDbServer, mariadb_command: Path) -> None:
    etc, data = tmp_path / "etc" / "sota", tmp_path / "var" / "lib" / "sota"
    prepare_apart(etc, data, tmp_path)
    text = script_of(2, tmp_path).replace("127.0.0.1:3306", f"127.0.0.1:{mariadb_server.port}")
    passwords, users, backup, restore = text.splitlines()
    run(f"{passwords}\n{users}", mariadb_command)
    urls = {program: mariadb_server.keeper_url(f"sota_{program}") for program in PROGRAMS}
    for program, metadata in PROGRAMS.items():
        database = Database(urls[program])
        await upgrade(database, f"sota.{program}.migrations")
        await database.transact(fill_with(metadata))
        await database.close()
    before = contents(tmp_path)
    assert "rows" in run(backup)
    shutil.rmtree(data / "packages" / "sub")
    (etc / "secrets" / "core-callers.toml").unlink()
    mariadb_server.execute("DELETE FROM sota_core.outbox", "DELETE FROM sota_resolver.installed_package")
    assert "1 vehicles have another epoch" in run(restore)
    assert contents(tmp_path) == before
    assert mariadb_server.execute("SELECT COUNT(*) FROM sota_core.outbox").split() == ["COUNT(*)", "1"]


def prepare_apart(etc: Path, data: Path, folder: Path) -> None:
    """Make what the page has made before: settings, secrets, authority, identity and the package repository."""
    settings = (ROOT / "deploy" / "sota.toml").read_text()
    for path in (etc / "secrets", data / "packages" / "sub", folder / "srv" / "backups"):
        path.mkdir(parents=True)
    for name in ("web", "core", "resolver", "rvi-node"):
        (data / name).mkdir(mode=0o700)
    (etc / "sota.toml").write_text(re.sub(r"\"/(var|etc|run)/", rf'"{folder}/\1/', settings))
    (etc / "secrets" / "core-callers.toml").write_text("a secret")
    for program in PROGRAMS:
        (etc / "secrets" / f"{program}-database.password").write_text(f"{program} of tests")
    (data / "packages" / "0123456789abcdef").write_bytes(b"a package")
    (data / "packages" / "sub" / "file").write_bytes(b"another")
    Authority.open(data / "core" / "authority").issue_backend(data / "rvi-node" / "identity")


def contents(folder: Path) -> dict[str, bytes]:
    """Read the files, but for backups and locks."""
    return {
        str(path): path.read_bytes()
        for part in ("etc", "var")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }
