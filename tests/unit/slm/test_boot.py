"""Boots: noticed by their id, asked for, and not waited for without an end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sota.kit.durable import write_atomic
from sota.kit.errors import StartError
from sota.slm.boot import Boot
from sota.slm.conditions import Conditions
from sota.slm.installers import Capability, InstallerFailed, Place
from sota.slm.installers.deb import DebInstaller
from sota.slm.installers.deb import make as make_deb
from sota.slm.journal import Journal
from sota.slm.program import check_boot
from sota.slm.settings import SlmSettings


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
    boot = Boot(boot_id, ("/bin/false",), 1.2)  # a note is to the second
    ended = await boot.wait(boot.note())
    assert ended.exit_code == 124
    assert ended.output.startswith(
        "the vehicle did not boot within 1.2 s; it was not asked to: /bin/false ended with 1"
    )


async def test_boot_is_not_asked_for_under_way(boot_id: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    settings = SlmSettings(
        vin="WVW00000000000001", must_be_parked=True, min_free_bytes=1 << 60, vehicle_state_file=state
    )
    conditions = Conditions(settings, Journal(tmp_path))
    asked = tmp_path / "asked"
    command = ("/bin/sh", "-c", 'cat "$1" >> "$2"; echo again > "$3.new"; mv "$3.new" "$3"', "sh")
    files = (str(state), str(asked), str(boot_id))
    boot = Boot(boot_id, (*command, *files), 60.0, why_not=conditions.why_not_boot, retry_s=0.01)
    state.write_text('{"parked": false}')
    waiting = asyncio.create_task(boot.wait(boot.note()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 1.2)  # it is looked at more than once
    assert not asked.exists()

    write_atomic(state, b'{"parked": true}')

    assert (await waiting).exit_code == 0
    assert asked.read_text() == '{"parked": true}'


async def test_boot_that_was_refused_is_asked_for_again(boot_id: Path, tmp_path: Path) -> None:
    times = tmp_path / "times"
    script = 'echo x >> "$1"; [ "$(wc -l < "$1")" -ge 2 ] || exit 1; echo again > "$2.new"; mv "$2.new" "$2"'
    boot = Boot(boot_id, ("/bin/sh", "-c", script, "sh", str(times), str(boot_id)), 60.0, retry_s=0.01)

    assert (await boot.wait(boot.note())).exit_code == 0
    assert times.read_text() == "x\nx\n"


def test_boot_that_cannot_be_noticed_is_told_at_the_start(tmp_path: Path) -> None:
    boot = Boot(tmp_path / "missing", (), 60.0)
    with pytest.raises(InstallerFailed, match="cannot be read"):
        boot.note()
    check_boot(boot, [make_deb(Place(tmp_path, tmp_path))])
    with pytest.raises(StartError, match="cannot be read"):
        check_boot(boot, [NeedsBoot(tmp_path)])
