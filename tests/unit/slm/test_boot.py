"""Boots: noticed by their id, asked for, and not waited for without an end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sota.kit.durable import write_atomic
from sota.kit.errors import StartError
from sota.slm.boot import Boot
from sota.slm.installers import Capability, InstallerFailed, Place
from sota.slm.installers.deb import DebInstaller
from sota.slm.installers.deb import make as make_deb
from sota.slm.program import check_boot


class NeedsBoot(DebInstaller):
    capabilities = Capability.NEEDS_BOOT


@pytest.fixture
def boot_id(tmp_path: Path) -> Path:
    file = tmp_path / "boot_id"
    file.write_text("first\n")
    return file


async def test_boot_is_noticed_by_its_id_also_after_a_restart_of_ours(boot_id: Path) -> None:
    note = Boot(boot_id, (), 60.0).note()
    waiting = asyncio.create_task(Boot(boot_id, (), 60.0).wait(note))
    await asyncio.sleep(0.1)
    assert not waiting.done()

    await asyncio.to_thread(write_atomic, boot_id, b"second\n")  # the kernel's is never empty

    assert (await waiting).exit_code == 0


async def test_boot_is_asked_for_by_the_vehicles_command(boot_id: Path) -> None:
    boot = Boot(boot_id, ("/bin/sh", "-c", 'echo again > "$1.new" && mv "$1.new" "$1"', "sh", str(boot_id)), 60.0)
    assert (await boot.wait(boot.note())).exit_code == 0


async def test_boot_that_does_not_come_is_given_up(boot_id: Path) -> None:
    boot = Boot(boot_id, ("/bin/false",), 0.2)
    ended = await boot.wait(boot.note())
    assert (ended.exit_code, ended.output) == (124, "the vehicle did not boot within 0.2 s")


def test_boot_that_cannot_be_noticed_is_told_at_the_start(tmp_path: Path) -> None:
    boot = Boot(tmp_path / "missing", (), 60.0)
    with pytest.raises(InstallerFailed, match="cannot be read"):
        boot.note()
    check_boot(boot, [make_deb(Place(tmp_path, tmp_path))])
    with pytest.raises(StartError, match="cannot be read"):
        check_boot(boot, [NeedsBoot(tmp_path)])
