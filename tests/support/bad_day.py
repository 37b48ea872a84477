"""A bad day: a fleet behind a network that cuts and flips bits; every program is killed once and started again."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sota.boundaries.b2_web_core.messages import Update
from sota.boundaries.b2_web_core.queries import RequestVehicleQuery
from sota.boundaries.values import Reason, UpdateStatus
from sota.kit.errors import Unavailable
from sota.kit.files.block_file import count_blocks
from tests.support.fleet import FleetProcess, RandomFile
from tests.support.processes import free_ports
from tests.support.proxy import Proxy, Weather
from tests.support.system import System, running_system
from tests.support.system_settings import Settings
from tests.support.waiting import until

CUTS_A_VEHICLE = 3
FLIP_EVERY = 20_000_000
PAGE = 100
QUIET = {name: {"log_level": "warning"} for name in ("node", "web", "resolver")}
TRUTHFUL = {Reason.UNREACHABLE, Reason.VERIFICATION_FAILED, Reason.ABORTED}


@dataclass(frozen=True, slots=True)
class Day:
    """How many vehicles, how much for each, how fast a connection is, how long it may all take."""

    vehicles: int
    size: int
    bytes_per_s: int
    block_bytes: int
    seed: int
    timeout_s: float

    @property
    def settings(self) -> dict[str, Settings]:
        """The backend's settings: patient, since the tests' usual haste would send again what is only slow."""
        core = {"ack_timeout_s": 30.0, "notify_retry_s": 5.0, "block_size": self.block_bytes}
        return {**QUIET, "core": core}


@dataclass(frozen=True, slots=True)
class Evening:
    """What became of it. ``sent_bytes`` are the decoded blocks that Core sent, ``truths`` what the vehicles have."""

    updates: dict[str, Update]
    sent_bytes: int
    payload_bytes: int
    truths: dict[str, str | None]
    cuts: int
    flips: int
    restarts: list[str]

    @property
    def ratio(self) -> float:
        """Bytes sent for each byte that was to be sent."""
        return self.sent_bytes / self.payload_bytes

    def __str__(self) -> str:
        ends = Counter(str(update.reason or update.status) for update in self.updates.values())
        return (
            f"{len(self.updates)} vehicles: {dict(ends)}; {self.cuts} cuts, {self.flips} flipped bits, "
            f"restarts of {', '.join(self.restarts)}; {self.ratio:.3f} bytes sent for each of the payload"
        )


async def live_through(day: Day, folder: Path) -> Evening:
    """Begin a day and see its evening; every program of the backend, and the fleet, is killed in its course."""
    async with running_system(folder, settings=day.settings) as system:
        weather = Weather(
            delay_s=0.005,
            jitter_s=0.005,
            bytes_per_s=day.bytes_per_s,
            cut_every=day.size // CUTS_A_VEHICLE,
            cuts=CUTS_A_VEHICLE * day.vehicles,
            flip_every=FLIP_EVERY,
        )
        proxy = Proxy(free_ports(1)[0], system.ports.link, weather, seed=day.seed)
        await proxy.start()
        package = RandomFile.make("maps", "3.0.0", day.size, seed=day.seed)
        await package.upload(system)
        fleet = FleetProcess(
            system, folder, day.vehicles, seed=day.seed, link=proxy.port, profile="[installation]\nmean_s = 0.5"
        )
        system.programs["fleet"] = fleet
        try:
            fleet.start()
            await _is_up(fleet)
            request = await system.queue(package.id, fleet.expression)
            restarts = await _go_wrong(system, fleet, request, day)
            updates = await _end(system, request, day)
        finally:
            await fleet.stop()
            del system.programs["fleet"]
            await proxy.stop()
        return Evening(
            updates,
            _sent_bytes(system, day),
            day.vehicles * day.size,
            {vin: _installed(fleet, vin, package) for vin in updates},
            proxy.cut_count,
            proxy.flip_count,
            restarts,
        )


async def _is_up(fleet: FleetProcess) -> None:
    async def look() -> bool:
        assert fleet.running, fleet.tail()
        return f"{fleet.vehicles} idle" in fleet.log.read_text() if fleet.log.exists() else False

    await until(look, "the fleet is up", timeout_s=120, interval_s=0.2, latest=fleet.tail)


async def _go_wrong(system: System, fleet: FleetProcess, request: str, day: Day) -> list[str]:
    victims = ["web", "resolver", "core", "node", "fleet"]
    dice = random.Random(day.seed)
    dice.shuffle(victims)
    for number, victim in enumerate(victims, start=1):
        await _reach(system, request, number / (len(victims) + 2), day)
        if victim == "fleet":
            fleet.kill()
            fleet.start()
        else:
            system.kill(victim)
            await system.restart(victim)
    return victims


async def _reach(system: System, request: str, share: float, day: Day) -> None:
    async def look() -> bool:
        updates = await _updates(system, request)
        over = all(update.status.is_final for update in updates.values())
        return bool(updates) and (
            over or sum(u.acknowledged for u in updates.values()) >= share * day.vehicles * day.size
        )

    await until(look, f"{share:.0%} is there", timeout_s=day.timeout_s, interval_s=0.2)


async def _end(system: System, request: str, day: Day) -> dict[str, Update]:
    latest: list[object] = []

    async def look() -> dict[str, Update] | None:
        updates = await _updates(system, request)
        latest[:] = [Counter(str(update.stage or update.status) for update in updates.values())]
        over = len(updates) == day.vehicles and all(update.status.is_final for update in updates.values())
        return updates if over else None

    return await until(look, "all is over", timeout_s=day.timeout_s, interval_s=0.5, latest=lambda: latest)


async def _updates(system: System, request: str) -> dict[str, Update]:
    found: dict[str, Update] = {}
    cursor: str | None = None
    try:
        while True:
            page = await system.web.request_vehicles(request, RequestVehicleQuery(limit=PAGE, cursor=cursor))
            found |= {update.vin: update for update in page.items}
            cursor = page.cursor
            if cursor is None:
                return found
    except Unavailable:  # a program is away at this moment
        return {}


def _sent_bytes(system: System, day: Day) -> int:
    last = count_blocks(day.size, day.block_bytes)
    rest = day.size - (last - 1) * day.block_bytes
    return sum(rest if event["index"] == last else day.block_bytes for event in system.logs("core", "block_sent"))


def _installed(fleet: FleetProcess, vin: str, package: RandomFile) -> str | None:
    file = fleet.data / "vehicles" / vin / "software.json"
    found = msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.exists() else {}
    return found.get(package.id.name)


def is_true(update: Update, installed: str | None) -> bool:
    """Report whether Core shows what the vehicle has, and a failure has a reason that fits."""
    if update.status is UpdateStatus.INSTALLED:
        return installed == update.package.version
    return installed is None and update.status is UpdateStatus.FAILED and update.reason in TRUTHFUL
