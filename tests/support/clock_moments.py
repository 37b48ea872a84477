"""Moments at which a vehicle's clock is set: something is waited for, and must end neither at once nor never."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core.messages import QueueRequest
from sota.boundaries.b10_client_slm.client import HeadUnitClient
from sota.boundaries.b10_client_slm.messages import ConsentAnswer, ConsentQuestion, Decision
from sota.boundaries.values import Interval, PackageId, UpdateStatus
from sota.kit.files.durable import write_atomic
from sota.kit.http.client import HttpClient
from tests.support import images
from tests.support.clocks import SetClock
from tests.support.packages import DebFile, Signature
from tests.support.system import System
from tests.support.vehicle_files import VehicleFiles
from tests.support.waiting import until

DAY_S = 86_400.0
QUICK_S = 0.3
NOW = datetime.now(UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Move:
    """How the clock is before something is waited for, and how while it is: seconds ahead of the right time."""

    name: str
    before_s: float
    after_s: float

    @property
    def is_forward(self) -> bool:
        """Whether it is set forward."""
        return self.after_s > self.before_s


MOVES = (
    Move("set-from-1970", 600 - NOW, 0.0),
    Move("forgotten-to-1970", 0.0, 600 - NOW),
    Move("three-hours-forward", 0.0, 3 * 3600.0),
    Move("thirty-years-forward", 0.0, 30 * 365 * DAY_S),
    Move("a-year-back", 0.0, -365 * DAY_S),
)


@dataclass
class Case:
    """One vehicle, whose clock the test sets, and its update."""

    system: System
    folder: Path
    vin: str
    move: Move
    clock: SetClock
    files: VehicleFiles = field(init=False)
    request: str = ""

    @property
    def slm(self) -> str:
        """The name of its Software Loading Manager."""
        return f"{self.vin}/slm"

    async def start(self, **slm: str) -> None:
        """Start its three programs with these settings of the Software Loading Manager."""
        self.clock.set(self.move.before_s)
        self.files = await self.system.add_vehicle(self.vin, apart=True, start=False)
        names = self.give_clock()
        settings = {"precondition_retry_s": str(QUICK_S), "keys": str(self.files.keys), **slm}
        own = {f"SOTA_SLM_{name.upper()}": value for name, value in settings.items()}
        self.system.programs[self.slm].environment |= own
        await self.system.restart(*names)

    async def stop(self) -> None:
        """Stop its programs: a process whose clock is set needs many times the processor time of another one."""
        await self.system.stop_programs(*(name for name in self.names if name in self.system.programs))

    @property
    def names(self) -> list[str]:
        """The names of the vehicle's programs, its node first."""
        return [f"{self.vin}/{part}" for part in ("node", "client", "slm")]

    def give_clock(self) -> list[str]:
        """Set the clock of the vehicle's programs; return their names."""
        names = self.names
        for name in names:
            self.system.programs[name].environment |= self.clock.environment
        self.system.programs[names[0]].environment["SOTA_RVI_NODE_TRUST_CLOCK"] = "false"  # as in deploy/vehicle.toml
        return names

    async def queue(self, package: DebFile, *, ask: bool = False) -> None:
        """Upload a package and queue it for this vehicle alone."""
        await self.system.upload(package)
        await self.system.web.new_filter(f"only-{self.vin}", f'vin_matches "{self.vin}"')
        await self.system.web.associate(package.id, f"only-{self.vin}")
        now = datetime.now(UTC)
        interval = Interval(start=now - timedelta(minutes=1), end=now + timedelta(days=1))
        wanted = QueueRequest(package=package.id, priority=50, interval=interval, request_confirmation=ask)
        self.request = (await self.system.web.queue_package(wanted)).install_request_id

    async def logged(self, event: str, *, since: int = 0, times: int = 1) -> None:
        """Wait until the Software Loading Manager has logged something so often."""

        async def look() -> bool:
            return len(self.system.logs(self.slm, event, since=since)) >= times

        await until(look, f"{event} in the log", timeout_s=60, latest=self.system.programs[self.slm].tail)

    def set_clock(self) -> int:
        """Set the clock; returns a mark in the Software Loading Manager's log."""
        mark = self.system.programs[self.slm].mark()
        self.clock.set(self.move.after_s)
        return mark

    async def is_open(self) -> bool:
        """Report whether the update is still under way."""
        return not (await self.system.updates(self.request))[self.vin].status.is_final

    async def installed(self) -> None:
        """Wait until the update is installed."""
        await self.system.wait_for_status(self.request, self.vin, UpdateStatus.INSTALLED)


async def parking(case: Case) -> Path:
    """Have an update wait until the vehicle is parked; returns the file that says whether it is."""
    state = case.folder / f"{case.vin}.json"
    state.write_text('{"parked": false}')
    await case.start(must_be_parked="true", vehicle_state_command=f"/bin/cat,{state}")
    await case.queue(DebFile.build(case.folder / case.vin, f"ivi-{case.vin.lower()}", "1.0.0"))
    await case.logged("preconditions_do_not_hold")
    return state


async def precondition(case: Case) -> None:
    """The vehicle is not parked, and the clock is set meanwhile."""
    state = await parking(case)
    mark = case.set_clock()
    await case.logged("preconditions_do_not_hold", since=mark, times=3)
    assert await case.is_open()
    write_atomic(state, b'{"parked": true}')
    await case.installed()


async def retry(case: Case) -> None:
    """The backend's node is down while the vehicle reports, and the clock is set meanwhile."""
    state = await parking(case)
    case.system.kill("node")
    write_atomic(state, b'{"parked": true}')
    await case.logged("download_ended")
    case.set_clock()
    await case.system.restart("node")
    await case.installed()


async def boot(case: Case) -> None:
    """An update waits for a boot, and the clock is set meanwhile."""
    boot_id = case.folder / f"{case.vin}.boot"
    boot_id.write_text("first\n")
    await case.start(boot_id_file=str(boot_id), reboot="/bin/false")
    await case.queue(Image.build_for(case))
    await case.logged("reboot_command_failed")
    mark = case.set_clock()
    await case.logged("reboot_command_failed", since=mark, times=3)
    assert await case.is_open()
    write_atomic(boot_id, b"second\n")
    await case.installed()


async def consent(case: Case) -> None:
    """The driver has put an update off, and the clock is set meanwhile: it is asked after that span, not sooner."""
    await case.start(defer_s=str(DAY_S if case.move.is_forward else 5.0))
    await case.queue(DebFile.build(case.folder / case.vin, f"ivi-{case.vin.lower()}", "1.0.0"), ask=True)
    config: dict[str, Any] = tomllib.loads((case.files.data / "vehicle.toml").read_text())
    token = (case.files.data / "secrets" / "head-unit-to-slm.token").read_text().strip()
    client = HttpClient(f"http://127.0.0.1:{config['slm']['port']}", token=token)
    driver = HeadUnitClient(client)

    async def asked() -> ConsentQuestion | None:
        return next((each for each in await driver.consent() if each.deferred_until is None), None)

    async def moved() -> bool:
        [waiting] = await driver.consent()
        at = waiting.deferred_until
        return at is not None and (at - datetime.now(UTC)).total_seconds() > case.move.after_s + DAY_S - 900

    try:
        question = await until(asked, "the driver is asked", timeout_s=60)
        await driver.decide(question.update_id, ConsentAnswer(decision=Decision.DEFER))
        case.set_clock()
        if case.move.is_forward:
            await until(moved, "the time to which it was put off is shown by the clock as it is now", timeout_s=60)
        else:
            await until(asked, "the driver is asked again", timeout_s=60)
        await driver.decide(question.update_id, ConsentAnswer(decision=Decision.ACCEPT))
    finally:
        await client.close()
    await case.installed()


MOMENTS = {each.__name__: each for each in (precondition, retry, boot, consent)}


class Image(DebFile):
    """An update image that asks for a boot."""

    @classmethod
    def build_for(cls, case: Case) -> Image:
        """Make one for a vehicle."""
        name = f"image-{case.vin.lower()}"
        operations: list[tuple[dict[str, Any], Path | None]] = [({"operation": "reboot", "id": "boot"}, None)]
        file = images.build(case.folder / case.vin, case.system.signing_key, name, "1.0.0", operations)
        return cls(PackageId(name=name, version="1.0.0"), file)

    def signed_by(self, key: Any) -> Signature:
        """Sign it."""
        return self.signed_as(key, "image")

    def metadata(self, signature: Signature | None) -> PackageMetadata:
        """Return the metadata of its upload."""
        return msgspec.structs.replace(super().metadata(signature), installer="image")
