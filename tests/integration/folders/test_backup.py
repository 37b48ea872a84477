"""``sota backup`` and ``sota restore`` of a stopped backend, on both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sota.kit.files.data_folder import Claim, claimed
from tests.support.backups import PACKAGE_FILE, KeptBackend, typed
from tests.support.databases import MariaDbServer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "mariadb"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> KeptBackend:
    server: str | None = None
    if request.param == "mariadb":
        mariadb: MariaDbServer = request.getfixturevalue("mariadb_server")
        server = mariadb.url
    kept = KeptBackend(tmp_path / "data", server)
    await kept.fill()
    return kept


async def test_backup_brings_back_each_value_and_file_and_renews_what_must_be(
    backend: KeptBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup.zip"
    rows, files, epoch = await backend.rows(), backend.files(), await backend.epoch()
    assert await typed("backup", str(file), *backend.options, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["missing_package_files"], told["package_files"], file.stat().st_mode & 0o777) == ([], 1, 0o600)
    assert await typed("restore", str(file), "--check") == 0

    await backend.change()
    assert await backend.rows() != rows
    assert await typed("restore", str(file), *backend.options) == 2
    assert "--force" in capsys.readouterr().err
    assert await typed("restore", str(file), *backend.options, "--force") == 0, capsys.readouterr().err
    again = await backend.rows()
    assert again.pop("web.session") == []
    rows.pop("web.session")
    assert again == rows
    assert backend.files() == files
    assert await backend.epoch() != epoch
    assert not list(backend.data.rglob(".restor*"))


async def test_backup_fills_an_empty_place(backend: KeptBackend, tmp_path: Path, mariadb_server: MariaDbServer) -> None:
    file = tmp_path / "backup.zip"
    assert await typed("backup", str(file), *backend.options) == 0
    other = KeptBackend(tmp_path / "other" / "data", mariadb_server.url if backend.server else None)
    assert await typed("restore", str(file), *other.options) == 0
    rows = await backend.rows()
    assert {**await other.rows(), "web.session": []} == {**rows, "web.session": []}
    assert other.files() == backend.files()
    assert other.data.stat().st_mode & 0o777 == 0o700


async def test_backend_that_runs_is_refused(
    backend: KeptBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup.zip"
    assert await typed("backup", str(file), *backend.options) == 0
    with claimed(Claim(backend.data, "up")):
        for command in (("backup", str(file), "--force"), ("restore", str(file), "--force")):
            assert await typed(*command, *backend.options) == 2
            assert "is in use by sota up" in capsys.readouterr().err
    if backend.server is not None:
        database = backend.database("resolver")
        async with database.engine.connect():
            for command in (("backup", str(file), "--force"), ("restore", str(file), "--force")):
                assert await typed(*command, *backend.options) == 2
                assert "the resolver database is in use by keeper from 127.0.0.1:" in capsys.readouterr().err
        await database.close()


async def test_missing_package_file_is_told(
    backend: KeptBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (backend.data / "packages" / PACKAGE_FILE).unlink()
    assert await typed("backup", str(tmp_path / "backup.zip"), *backend.options) == 1
    assert "1 package files that Core names are not in the repository" in capsys.readouterr().err
    assert (tmp_path / "backup.zip").exists()


async def test_backup_of_another_engine_is_refused(
    tmp_path: Path, mariadb_server: MariaDbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    files, server = KeptBackend(tmp_path / "data"), KeptBackend(tmp_path / "other", mariadb_server.url)
    await files.fill()
    assert await typed("backup", str(tmp_path / "backup.zip"), *files.options) == 0
    assert await typed("restore", str(tmp_path / "backup.zip"), *server.options) == 2
    assert "the backup is of sqlite, and the databases here are of mariadb" in capsys.readouterr().err


async def test_backup_makes_nothing_of_a_wrong_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed("backup", str(tmp_path / "backup.zip"), "--data", str(tmp_path / "wrong")) == 2
    told = capsys.readouterr().err
    assert ("there is no such folder" in told, told.count("\n"), list_names(tmp_path)) == (True, 1, [])


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
