"""B13: the Web Server writes a package's file to the repository, whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.kit.errors import Invalid
from sota.web.repository.model import Measured, new_key
from sota.web.repository.store import PackageRepository

PART = b"0123456789abcdef" * 4096


async def parts(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield PART


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.whitelist("WL-B13-1", "success")
async def test_file_is_written_whole(tmp_path: Path) -> None:
    repository, key, measured = PackageRepository(str(tmp_path)), new_key(), Measured()
    assert await repository.write(key, measured.watch(parts(200))) == "success"
    assert (tmp_path / key).read_bytes() == PART * 200
    assert measured.size == len(PART) * 200
    assert left_in(tmp_path) == [Path(key).name]


@pytest.mark.whitelist("WL-B13-1", "failure")
async def test_file_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    repository, key = PackageRepository(str(tmp_path / "packages")), new_key()
    (tmp_path / "packages" / Path(key).parent).write_text("a file where the folder should be")
    assert await repository.write(key, parts(200)) == "failure"
    assert left_in(tmp_path) == [Path(key).parent.name]


async def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    repository = PackageRepository(str(tmp_path))

    async def broken() -> AsyncIterator[bytes]:
        async for part in parts(150):
            yield part
        raise Invalid("the connection ended")

    with pytest.raises(Invalid):
        await repository.write(new_key(), broken())
    assert left_in(tmp_path) == []


async def test_delete_also_removes_what_a_kill_left(tmp_path: Path) -> None:
    repository, key = PackageRepository(str(tmp_path)), new_key()
    await repository.write(key, parts(1))
    (tmp_path / f"{key}#1").write_bytes(b"half a file")
    await repository.delete(key)
    await repository.delete(key)
    assert left_in(tmp_path) == []
