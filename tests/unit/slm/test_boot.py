"""Boots: recognised by their id, requested, and waited for with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sota.kit.errors import StartError
from sota.kit.files.durable import write_atomic
from sota.slm.boot import Boot, always_allowed
from sota.slm.installers import Capability, InstallerFailed, Place
from sota.slm.installers.deb import DebInstaller
from sota.slm.installers.deb import make as make_deb
from sota.slm.journal import Journal
from sota.slm.preconditions import Preconditions
from sota.slm.program import check_boot
from sota.slm.running_time import BUILT, RunningTime
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import StepResult


class NeedsBoot(DebInstaller):
    capabilities = Capability.NEEDS_BOOT


@pytest.fixture
def boot_id(tmp_path: Path) -> Path:
    file = tmp_path / "boot_id"
    file.write_text("first\n")
    return file


class Clocks:
    """The kernel's clock and the vehicle's, held still until the test moves them."""

    def __init__(self) -> None:
        self.elapsed, self.shown = 100.0, BUILT + 1e6


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def running(tmp_path: Path, boot_id: Path, clocks: Clocks) -> AsyncIterator[RunningTime]:
    journal = Journal(tmp_path)
    await journal.database.open()
    yield RunningTime(journal.database, boot_id, elapsed=lambda: clocks.elapsed, clock=lambda: clocks.shown)
    await journal.database.close()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sota.slm.boot.POLL_S", 0.01)


def boot_with(
    id_file: Path,
    running: RunningTime,
    command: tuple[str, ...] = (),
    why_not: Callable[[], Awaitable[str]] = always_allowed,
) -> Boot:
    settings = SlmSettings(
        vin="WVW00000000000001",
        boot_id_file=id_file,
        reboot=command,
        boot_timeout_s=60.0,
        precondition_retry_s=0.01,
    )
    return Boot(settings, running, why_not)


async def test_boot_is_noticed_by_its_id_also_after_a_restart_of_ours(boot_id: Path, running: RunningTime) -> None:
    note = boot_with(boot_id, running).note()
    waiting = asyncio.create_task(boot_with(boot_id, running).wait(note))
    await asyncio.sleep(0.1)
    assert not waiting.done()

    await asyncio.to_thread(write_atomic, boot_id, b"second\n")  # the kernel's is never empty

    assert (await waiting).exit_code == 0


async def test_boot_is_asked_for_by_the_vehicles_command(boot_id: Path, running: RunningTime) -> None:
    command = ("/bin/sh", "-c", 'echo again > "$1.new" && mv "$1.new" "$1"', "sh", str(boot_id))
    boot = boot_with(boot_id, running, command)
    assert (await boot.wait(boot.note())).exit_code == 0


async def test_boot_that_does_not_come_is_given_up(boot_id: Path, running: RunningTime, clocks: Clocks) -> None:
    boot = boot_with(boot_id, running, ("/bin/false",))
    waiting = asyncio.create_task(boot.wait(boot.note()))
    clocks.elapsed += 59.0
    assert not await ends(waiting)
    clocks.elapsed += 2.0
    ended = await waiting
    assert ended.exit_code == 124
    assert ended.output.startswith(
        "the vehicle did not boot within 60 s; no boot was requested: /bin/false exited with 1"
    )


@pytest.mark.parametrize("moved_by_s", [1.8e9, -1.8e9, 1.2e6, -3600.0])
async def test_a_clock_that_is_set_ends_no_wait_for_a_boot(
    boot_id: Path, running: RunningTime, clocks: Clocks, moved_by_s: float
) -> None:
    boot = boot_with(boot_id, running)
    note = boot.note()
    waiting = asyncio.create_task(boot.wait(note))
    clocks.shown += moved_by_s
    assert not await ends(waiting)
    clocks.elapsed += 61.0
    assert (await waiting).exit_code == 124


async def ends(waiting: asyncio.Task[StepResult]) -> bool:
    """Report whether a task ends within several more turns of the loop."""
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    return bool(done)


async def test_boot_is_not_asked_for_under_way(boot_id: Path, tmp_path: Path) -> None:
    running = RunningTime(Journal(tmp_path).database, boot_id)
    state = tmp_path / "state.json"
    settings = SlmSettings(
        vin="WVW00000000000001", must_be_parked=True, min_free_bytes=1 << 60, vehicle_state_file=state
    )
    conditions = Preconditions(settings, Journal(tmp_path), running)
    asked = tmp_path / "asked"
    command = ("/bin/sh", "-c", 'cat "$1" >> "$2"; echo again > "$3.new"; mv "$3.new" "$3"', "sh")
    files = (str(state), str(asked), str(boot_id))
    boot = boot_with(boot_id, running, (*command, *files), conditions.why_not_boot)
    state.write_text('{"parked": false}')
    waiting = asyncio.create_task(boot.wait(boot.note()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.5)  # it is looked at more than once
    assert not asked.exists()

    write_atomic(state, b'{"parked": true}')

    assert (await waiting).exit_code == 0
    assert asked.read_text() == '{"parked": true}'


async def test_boot_that_was_refused_is_asked_for_again(boot_id: Path, tmp_path: Path, running: RunningTime) -> None:
    times = tmp_path / "times"
    script = 'echo x >> "$1"; [ "$(wc -l < "$1")" -ge 2 ] || exit 1; echo again > "$2.new"; mv "$2.new" "$2"'
    command = ("/bin/sh", "-c", script, "sh", str(times), str(boot_id))
    boot = boot_with(boot_id, running, command)

    assert (await boot.wait(boot.note())).exit_code == 0
    assert times.read_text() == "x\nx\n"


def test_boot_that_cannot_be_noticed_is_told_at_the_start(tmp_path: Path) -> None:
    running = RunningTime(Journal(tmp_path).database, tmp_path / "missing")
    boot = boot_with(tmp_path / "missing", running)
    with pytest.raises(InstallerFailed, match="cannot be read"):
        boot.note()
    check_boot(boot, [make_deb(Place(tmp_path, tmp_path))])
    with pytest.raises(StartError, match="cannot be read"):
        check_boot(boot, [NeedsBoot(tmp_path)])
