"""Packages stay readable for every user of the vehicle, whatever file mode mask the unit of the program has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sota.slm.contract import Fault, Testbed
from tests.support import debs
from tests.support.deb_workshop import BREAK, DebWorkshop
from tests.support.slm_subjects import ArchiveSubject

pytestmark = pytest.mark.anyio


MASKS = pytest.mark.parametrize("mask", [0o027, 0o077], ids=oct)


@contextlib.contextmanager
def masked(mask: int) -> Iterator[None]:
    """Have this mask for what is made in here, the installers' processes included."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def stubbed(folder: Path) -> list[str]:
    """Return what below a folder another user cannot read or enter."""
    wanted = {True: 0o005, False: 0o004}
    entries = [folder, *(each for each in folder.rglob("*") if not each.is_symlink() and each.name != ".lock")]
    return [str(each) for each in entries if each.stat().st_mode & wanted[each.is_dir()] != wanted[each.is_dir()]]


@MASKS
async def test_archive_is_readable_for_every_user(tmp_path: Path, mask: int) -> None:
    with masked(mask):
        testbed = Testbed(tmp_path, ArchiveSubject(tmp_path))
        for version in ("1.0.0", "2.0.0"):
            assert (await testbed.install(version, Fault.NONE)).status == "installed"
    assert stubbed(tmp_path / "root/opt") == []


@MASKS
async def test_debian_package_comes_back_readable_for_every_user(tmp_path: Path, mask: int) -> None:
    workshop = DebWorkshop(tmp_path)
    files = {"/opt/ivi/deep/file": "one\n"}
    first = debs.build(tmp_path, "ivi", "1.0.0", files=files)
    second = debs.build(tmp_path, "ivi", "2.0.0", files=files, postinst=BREAK)
    with masked(mask):
        workshop.subject.installer().prepare()
        assert stubbed(workshop.root / "var") == []
        assert (await workshop.update(first)).status == "installed"
        (workshop.kept / "ivi_1.0.0.deb").unlink()  # so that it is packed from the vehicle

        report = await workshop.update(second)

    assert (report.reason, workshop.states()) == ("rolled_back", {"ivi": "ii 1.0.0"})
    assert stubbed(workshop.root / "opt") == []
