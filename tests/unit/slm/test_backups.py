"""Files for going back: kept whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sota.boundaries.values import PackageId
from sota.slm.backups import Backups
from sota.slm.installers import InstallerFailed, Place
from sota.slm.installers.deb import DebInstaller, make
from sota.slm.journal import Journal
from tests.support import debs

NEW = PackageId(name="ivi", version="2.0.0")


class PowerGoes(BaseException):
    """Nothing that follows is done."""


class DebOf(DebInstaller):
    """dpkg whose copy ends early."""

    def __init__(self, root: Path, end: Callable[[], BaseException]) -> None:
        super().__init__(root)
        self._end = end

    async def save(self, name: str, file: Path) -> None:
        await asyncio.to_thread(file.write_bytes, b"half of it")
        raise self._end()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Backups]:
    await make(Place(tmp_path / "root", tmp_path)).install(debs.build(tmp_path, "ivi", "1.0.0", payload_bytes=5_000))
    journal = Journal(tmp_path)
    await journal.database.open()
    prepared = Backups(tmp_path / "kept", journal)
    prepared.prepare()
    yield prepared
    await journal.database.close()


async def test_version_whose_file_was_not_kept_is_made_again(kept: Backups, tmp_path: Path) -> None:
    installer = make(Place(tmp_path / "root", tmp_path))

    file = await kept.secure(1, "", installer, NEW, "1.0.0")

    assert file == tmp_path / "kept" / "ivi_1.0.0.deb"
    await installer.inspect(file, "ivi", "1.0.0")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("error", [InstallerFailed("dpkg-deb: no"), OSError(28, "No space left on device")])
async def test_copy_that_fails_is_no_way_back(kept: Backups, tmp_path: Path, error: Exception) -> None:
    assert await kept.secure(1, "", DebOf(tmp_path / "root", lambda: error), NEW, "1.0.0") is None
    assert list((tmp_path / "kept").iterdir()) == []


async def test_copy_in_whose_middle_the_power_goes_is_made_again(kept: Backups, tmp_path: Path) -> None:
    with pytest.raises(PowerGoes):
        await kept.secure(1, "", DebOf(tmp_path / "root", PowerGoes), NEW, "1.0.0")
    (tmp_path / "kept" / ".ivi_1.0.0.deb.new").write_bytes(b"half of it")  # where not even our own end was run
    (tmp_path / "kept" / ".ivi_0.9.0.deb.new.tree" / "opt").mkdir(parents=True)
    kept.prepare()
    assert list((tmp_path / "kept").iterdir()) == []

    file = await kept.secure(1, "", make(Place(tmp_path / "root", tmp_path)), NEW, "1.0.0")

    assert file is not None
    await make(Place(tmp_path / "root", tmp_path)).inspect(file, "ivi", "1.0.0")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("damage", [b"", b"not a package" * 1000])
async def test_kept_file_that_a_disk_has_damaged_is_made_again(kept: Backups, tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "kept" / "ivi_1.0.0.deb"
    file.write_bytes(damage)
    installer = make(Place(tmp_path / "root", tmp_path))

    assert await kept.secure(1, "", installer, NEW, "1.0.0") == file

    await installer.inspect(file, "ivi", "1.0.0")
