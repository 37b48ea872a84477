"""Spans that no clock that is set can shorten or stretch, also across restarts and boots."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from sota.boundaries.b7_core_rvi.messages import UpdateAvailable
from sota.boundaries.b10_client_slm.messages import Decision, Waiting
from sota.kit.errors import Invalid, Refused
from sota.kit.runtime.clock import new_id
from sota.slm.consent import Consents
from sota.slm.journal import Journal
from sota.slm.preconditions import Preconditions
from sota.slm.running_time import BUILT, RunningTime
from sota.slm.settings import SlmSettings
from tests.support.identities import EPOCH

HOUR = 3600.0
DAY = 24 * HOUR
NOW = BUILT + 300 * DAY
JUMPS = [-NOW, -DAY, -HOUR, HOUR, 30 * DAY, 20_000 * DAY]
SETTINGS = SlmSettings(vin="WVW00000000000001", max_deferrals=3, max_defer_s=7 * DAY, defer_s=DAY)


class Vehicle:
    """A journal, and clocks that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.elapsed, self.shown, self.boots = 100.0, NOW, 0
        self.journal = Journal(folder)
        self.running = self._running()
        self.consents = Consents(SETTINGS, self.journal, self.running)

    def _running(self) -> RunningTime:
        (self.folder / "boot_id").write_text(f"boot {self.boots}")
        return RunningTime(
            self.journal.database, self.folder / "boot_id", elapsed=lambda: self.elapsed, clock=lambda: self.shown
        )

    async def open(self) -> None:
        await self.journal.database.open()
        await self.running.open()

    def go_on(self, seconds: float) -> None:
        """Let time go by."""
        self.elapsed += seconds
        self.shown += seconds

    async def restart(self, *, off_s: float = 0.0, boots: bool = False, shows: float | None = None) -> None:
        """Stop the program in order, let it be off for some time, and start it again, after a boot or not."""
        await self.running.save()
        await self.journal.database.close()
        self.go_on(off_s)
        if boots:
            self.boots += 1
            self.elapsed = 20.0
        if shows is not None:
            self.shown = shows
        self.journal = Journal(self.folder)
        self.running = self._running()
        self.consents = Consents(SETTINGS, self.journal, self.running)
        await self.open()

    async def accept(self) -> UpdateAvailable:
        body = {
            "update_id": str(new_id()),
            "epoch": EPOCH,
            "downloads": [
                {"download_index": 1, "package": {"name": "ivi", "version": "1.0.0"}, "size": 1, "sha256": "0" * 64}
            ],
            "description": "",
            "request_confirmation": True,
        }
        update = msgspec.convert(body, UpdateAvailable)
        await self.journal.accept(update)
        return update

    async def waits_for(self, update: UpdateAvailable) -> Waiting | None:
        return (await self.consents.waits_for(update))[0]


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    vehicle = Vehicle(tmp_path)
    await vehicle.open()
    yield vehicle
    await vehicle.journal.database.close()


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_clock_that_is_set_moves_neither_count(vehicle: Vehicle, jump: float) -> None:
    vehicle.go_on(50.0)
    vehicle.shown += jump
    vehicle.go_on(50.0)
    await vehicle.restart(off_s=10.0)
    assert (vehicle.running.ran, vehicle.running.passed) == (110.0, 110.0)


async def test_time_switched_off_passes_but_is_not_run(vehicle: Vehicle) -> None:
    vehicle.go_on(HOUR)
    await vehicle.restart(off_s=8 * HOUR, boots=True)
    assert (vehicle.running.ran, vehicle.running.passed) == (HOUR, 9 * HOUR)


@pytest.mark.parametrize(("before", "after"), [(NOW, 0.0), (0.0, NOW), (0.0, 0.0), (NOW, NOW - DAY)])
async def test_time_switched_off_is_not_known_where_the_clock_is_not_believed(
    vehicle: Vehicle, before: float, after: float
) -> None:
    vehicle.shown = before
    await vehicle.restart(off_s=8 * HOUR, boots=True, shows=after)
    assert (vehicle.running.ran, vehicle.running.passed) == (0.0, 0.0)


async def test_what_the_power_took_makes_a_wait_at_most_longer(vehicle: Vehicle) -> None:
    vehicle.go_on(20.0)
    await vehicle.running.keep()
    vehicle.go_on(20.0)
    await vehicle.running.keep()
    vehicle.go_on(20.0)
    await vehicle.journal.database.close()  # without a word: as after a loss of power
    vehicle.boots += 1
    vehicle.elapsed = 5.0
    vehicle.journal = Journal(vehicle.folder)
    vehicle.running = vehicle._running()
    await vehicle.open()
    assert vehicle.running.ran == 40.0


@pytest.mark.parametrize("jump", JUMPS)
async def test_what_was_put_off_is_asked_again_after_that_span(vehicle: Vehicle, jump: float) -> None:
    update = await vehicle.accept()
    assert await vehicle.waits_for(update) is Waiting.CONSENT
    await vehicle.consents.decide(update.update_id, Decision.DEFER, None)
    vehicle.shown += jump
    await vehicle.restart()
    vehicle.go_on(DAY - 1)
    assert await vehicle.waits_for(update) is Waiting.DEFERRAL
    vehicle.go_on(2)
    assert await vehicle.waits_for(update) is Waiting.CONSENT


async def test_what_was_put_off_overnight_is_asked_in_the_morning(vehicle: Vehicle) -> None:
    update = await vehicle.accept()
    until = datetime.fromtimestamp(NOW + 8 * HOUR, UTC)
    await vehicle.consents.decide(update.update_id, Decision.DEFER, until)
    assert (await vehicle.consents.questions())[0].deferred_until == until
    await vehicle.restart(off_s=9 * HOUR, boots=True)
    assert await vehicle.waits_for(update) is Waiting.CONSENT


@pytest.mark.parametrize("jump", JUMPS)
async def test_how_long_an_update_may_be_put_off_does_not_follow_the_clock(vehicle: Vehicle, jump: float) -> None:
    update = await vehicle.accept()
    await vehicle.waits_for(update)
    vehicle.shown += jump

    def at(seconds: float) -> datetime:
        return datetime.fromtimestamp(vehicle.shown + seconds, UTC)

    with pytest.raises(Refused, match="s more at most"):
        await vehicle.consents.decide(update.update_id, Decision.DEFER, at(7 * DAY + 1))
    with pytest.raises(Invalid, match="must be in the future"):
        await vehicle.consents.decide(update.update_id, Decision.DEFER, at(-1))
    [question] = await vehicle.consents.questions()
    assert question.asked_at == at(0)
    assert question.defer_until == at(7 * DAY)
    await vehicle.consents.decide(update.update_id, Decision.DEFER, at(7 * DAY - 1))


@pytest.mark.parametrize("jump", JUMPS)
async def test_preconditions_are_waited_for_as_long_as_the_vehicle_runs(vehicle: Vehicle, jump: float) -> None:
    update = await vehicle.accept()
    settings = SlmSettings(vin="WVW00000000000001", must_be_parked=True, root=vehicle.folder)
    waited: list[float] = []
    for boots in (False, True):
        await vehicle.restart(off_s=30 * DAY, boots=boots)
        conditions = Preconditions(settings, vehicle.journal, vehicle.running)
        waited.append((await conditions.check(update.update_id))[1])
        vehicle.shown += jump
        vehicle.go_on(100.0)
        waited.append((await conditions.check(update.update_id))[1])
    assert waited == [0.0, 100.0, 100.0, 200.0]


async def test_a_state_file_that_is_no_longer_written_is_not_made_fresh_by_a_clock_that_is_set_back(
    vehicle: Vehicle,
) -> None:
    update = await vehicle.accept()
    state = vehicle.folder / "state.json"
    state.write_text('{"parked": true}')
    os.utime(state, (NOW, NOW))
    settings = SlmSettings(vin="WVW00000000000001", must_be_parked=True, root=vehicle.folder, vehicle_state_file=state)
    conditions = Preconditions(settings, vehicle.journal, vehicle.running)
    assert (await conditions.check(update.update_id))[0].holds
    vehicle.go_on(HOUR)
    assert not (await conditions.check(update.update_id))[0].holds
    vehicle.shown = NOW + 1

    assert not (await conditions.check(update.update_id))[0].holds
