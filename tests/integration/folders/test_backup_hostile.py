"""Backups that were damaged or forged: each is one clear line, and nothing is changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.backups import PACKAGE_FILE, KeptBackend, typed

pytestmark = pytest.mark.anyio
Forge = Callable[[dict[str, Any], dict[str, bytes]], None]


def replaced(manifest: dict[str, Any], members: dict[str, bytes], name: str, content: bytes) -> None:
    """Replace a file as a forger who knows the format: the manifest agrees."""
    members[name] = content
    (entry,) = [entry for entry in manifest["files"] if entry["name"] == name]
    entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def named(name: str) -> Forge:
    def forge(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        manifest["files"].append({"name": name, "size": 0, "sha256": "", "mode": 0o600})
        replaced(manifest, members, name, b"evil")

    return forge


def edited(**values: Any) -> Forge:
    return lambda manifest, _members: manifest.update(values)


def in_database(statement: str) -> Forge:
    def forge(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(members["databases/core.db"].replace(b"\x02\x02", b"\x01\x01", 1))
            connection.execute(statement)
            connection.commit()
            content = connection.serialize()
        replaced(manifest, members, "databases/core.db", content)

    return forge


def cut_member(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del manifest
    members[f"parts/packages/{PACKAGE_FILE}"] = members[f"parts/packages/{PACKAGE_FILE}"][:-1] + b"x"


def claim_less(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del members
    manifest["files"][0]["size"] -= 1


def leave_out(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del manifest
    members.pop("databases/core.db")


def add_unnamed(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del manifest
    members["parts/packages/unnamed"] = b""


FORGED: dict[str, tuple[Forge, str]] = {
    "damaged": (cut_member, "is not what the manifest says"),
    "longer than it says": (claim_less, "its files are not those of the manifest"),
    "a file left out": (leave_out, "its files are not those of the manifest"),
    "a file added": (add_unnamed, "its files are not those of the manifest"),
    "upwards": (named("parts/packages/../../../evil"), "a name that is not allowed"),
    "absolute": (named("/evil"), "a name that is not allowed"),
    "backslashes": (named("parts/packages/..\\..\\evil"), "a name that is not allowed"),
    "no part": (named("parts/node/evil"), "names a file of no part"),
    "the mark": (named("parts/packages/.restoring"), "does not belong there"),
    "another place": (named("parts/core/core.db"), "does not belong there"),
    "newer format": (edited(format=2), "another version"),
    "no manifest of ours": (edited(files="x"), "manifest cannot be read"),
    "unknown database": (edited(databases={}), "are not known"),
    "trigger": (
        in_database("CREATE TRIGGER evil AFTER INSERT ON vehicle BEGIN DELETE FROM package; END"), "triggers or views"
    ),
    "view": (in_database("CREATE VIEW evil AS SELECT 1"), "triggers or views"),
    "newer tables": (in_database("UPDATE alembic_version SET version_num = '9999'"), "another version"),
    "other rows": (in_database("DELETE FROM package"), "not the one that its manifest describes"),
    "no database": (lambda m, files: replaced(m, files, "databases/core.db", b"x" * 9000), "file is not a database"),
}  # fmt: skip


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeptBackend, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    backend = KeptBackend(folder / "data")
    await backend.fill()
    assert await typed("backup", str(folder / "backup.zip"), *backend.options) == 0
    return backend, folder / "backup.zip"


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock"
    }


@pytest.mark.parametrize("name", FORGED)
async def test_forged_backup_changes_nothing(
    kept: tuple[KeptBackend, Path], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, file = kept
    forge, says = FORGED[name]
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    manifest = json.loads(members.pop("manifest.json"))
    forge(manifest, members)
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(forged, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr("manifest.json", json.dumps(manifest))
    await refused(backend, forged, says, capsys)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda content: content[:-1000], "is no backup, or is cut off"),
        (lambda _content: b"", "is no backup, or is cut off"),
        (lambda content: content.replace(b"manifest.json", b"../manifest.j"), "has no manifest"),
        (lambda content: content[:3000] + bytes(64) + content[3064:], "is damaged"),
    ],
    ids=["cut", "empty", "no manifest", "overwritten"],
)
async def test_damaged_file_changes_nothing(
    kept: tuple[KeptBackend, Path],
    harm: Callable[[bytes], bytes],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend, file = kept
    damaged = tmp_path / "damaged.zip"
    write(damaged, harm(file.read_bytes()))
    await refused(backend, damaged, says, capsys)


async def test_packed_nothing_of_any_size_is_read_no_further_than_named(
    kept: tuple[KeptBackend, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, file = kept
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as forged:
        for info in archive.infolist():
            is_first = info.filename.endswith(PACKAGE_FILE)
            forged.writestr(info.filename, bytes(64 << 20) if is_first else archive.read(info))
    content = bomb.read_bytes()
    size = (64 << 20).to_bytes(4, "little")
    write(bomb, content.replace(size, (256_000).to_bytes(4, "little")))  # the archive's own sizes lie as well
    await refused(backend, bomb, "is damaged", capsys)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def refused(backend: KeptBackend, file: Path, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(backend.data.parent)
    capsys.readouterr()
    assert await typed("restore", str(file), *backend.options, "--force") in (1, 2)
    told = capsys.readouterr().err
    assert (says in told, told.count("\n")) == (True, 1), told
    assert everything(backend.data.parent) == before
