"""Ends each program before and after each of its durable writes, in the course of one update, and looks at the end.

A :class:`Line` is one vehicle whose programs run apart, and the backend behind it. :meth:`Line.trace` lets an update
pass undisturbed and gives the steps, the durable writes that each program made for it. :meth:`Line.play` lets another
update pass while one program is killed at one of these steps and started again, and then holds everything against
what it should be:

* Core, the vehicle's package database and the Resolver say that the package is installed, and it was installed once;
* the report was counted once, and both client and loading manager know that it was heard;
* no block was sent again whose acknowledgement was committed when the program died;
* nothing is left in Core's outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import sqlite3
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import QueueRequest, RequestStatus, Update
from sota.boundaries.b2_web_core.queries import RequestQuery
from sota.boundaries.services import backend_service
from sota.boundaries.values import Interval, PackageId, UpdateStatus
from sota.core.tables import download, operation_result
from sota.kit.errors import SotaError, Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.ranges import Ranges
from sota.kit.runtime.faults import AFTER, BEFORE
from sota.resolver import tables as resolver
from tests.support.matrix_table import NOT_REACHED, RIGHT, WRONG, Entry, as_table
from tests.support.packages import DebFile
from tests.support.system import System
from tests.support.system_settings import BACKEND, Settings
from tests.support.vehicle_files import VehicleFiles
from tests.support.waiting import until

Answer = TypeVar("Answer")
BLOCK_BYTES, BLOCKS = 4096, 12
SETTINGS: Mapping[str, Settings] = {
    "core": {"block_size": BLOCK_BYTES, "window": 2},
    "web": {"intent_wait_s": 3.0, "intent_retry_s": 0.5},
}
PROGRAMS = (*BACKEND, "vehicle/node", "vehicle/client", "vehicle/slm")
"""The programs on the way, by the names that the matrix has for them."""
CELL_TIMEOUT_S, LAST_WORDS_S = 60.0, 20.0
NUMBERS = itertools.count(1)
NEVER_OFFERED = 2_000_000_000
JSON = {"content-type": "application/json"}
MOST = 6
# How often these are made depends on the moment (acknowledgements gather) or on the clock.
REPEATED = {
    "BlockFile.write",
    "NodeDatabase.flush",
    "Dispatcher._expire service.expire",
}
OPEN = {UpdateStatus.PENDING, UpdateStatus.IN_FLIGHT}


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One place at which a program is killed: ``number`` counts the times that the step is reached."""

    program: str
    step: str
    side: str
    number: int = 1

    @property
    def plan(self) -> str:
        """The plan for the program (``kit/runtime/faults.py``)."""
        return f"{self.side} {self.step} {self.number}"

    @property
    def what(self) -> str:
        """The step, and which time where it is not the first."""
        return f"{self.step} #{self.number}" if self.number > 1 else self.step

    def __str__(self) -> str:
        return f"{self.program:<14} {self.side:<6} {self.what}"


@dataclass(slots=True)
class Result:
    """What became of a cell: ``wrong`` is empty where all is as it should be; ``reached`` whether the kill happened."""

    cell: Cell
    reached: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        """What stands in the matrix."""
        return WRONG if self.wrong else RIGHT if self.reached else NOT_REACHED

    def __str__(self) -> str:
        return f"{self.cell}  {self.word}{': ' if self.wrong else ''}{'; '.join(self.wrong)}"


class Line:
    """One vehicle and its backend."""

    def __init__(self, system: System, vehicle: VehicleFiles, folder: Path) -> None:
        self.system, self.vehicle, self._folder = system, vehicle, folder
        self._known: dict[str, str] = {}

    @classmethod
    async def lay(cls, system: System, folder: Path) -> Line:
        """Start a new vehicle in a system that was made with ``faults``."""
        await system.proxy.start()
        vehicle = await system.add_vehicle(f"WVWZZZ1KZ7F{next(NUMBERS):06}", through_proxy=True, apart=True)
        return cls(system, vehicle, folder)

    async def trace(self) -> list[Cell]:
        """Let an update pass undisturbed; return all places at which a program could have been killed."""
        before = {program: self._steps(program) for program in PROGRAMS}
        wrong = await self._update(None)
        assert not wrong, wrong
        cells = []
        for program in PROGRAMS:
            steps = self._steps(program)[len(before[program]) :]
            for step in dict.fromkeys(steps):
                last = min(steps.count(step), 2 if step in REPEATED else MOST)
                cells += [
                    Cell(program, step, side, number) for number in range(1, last + 1) for side in (BEFORE, AFTER)
                ]
        return cells

    async def play(self, cell: Cell) -> Result:
        """Let an update pass, kill a program in its course, and see what came of it."""
        result = Result(cell)
        plan = self._faults(cell.program) / "plan"
        plan.write_text(cell.plan)
        try:
            result.wrong = await self._update(result)
        except AssertionError as error:
            result.wrong = [str(error)]
        finally:
            result.reached = not plan.exists()  # the program that dies removes it first
            plan.unlink(missing_ok=True)
            await self._raise_the_dead()
            await self.system.wait_ready(self._name(cell.program))  # its last step may have been its last only now
        return result

    async def _update(self, result: Result | None) -> list[str]:
        number = next(NUMBERS)
        version = f"1.0.{number}"
        postinst = f'echo {version} >> "$DPKG_ROOT/installations"'
        package = await asyncio.to_thread(
            DebFile.build, self._folder, "maps", version, postinst=postinst, payload_bytes=BLOCKS * BLOCK_BYTES
        )
        watching = asyncio.create_task(self._watch(result)) if result is not None else None
        try:
            async with asyncio.timeout(CELL_TIMEOUT_S):
                await self._speak_without_network()
                request = await self._order(package, number)
                await self._installed(request)
                wrong = await self._look(package.id, request)
        except TimeoutError:
            wrong = [f"not over after {CELL_TIMEOUT_S:g} s"]
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        if result is not None and watching is not None:
            wrong += self._sent_again
        return wrong

    async def _speak_without_network(self) -> None:
        """Make the vehicle's node store a message on disk: it stores only what it cannot send immediately.

        Core has nothing to do with this one: it acknowledges a download that was never offered.
        """
        settings = tomllib.loads((self.vehicle.data / "vehicle.toml").read_text())["rvi_node"]
        content = {"vin": self.vehicle.vin, "download_index": NEVER_OFFERED, "received": ""}
        params = {
            "service_name": backend_service("ack"),
            "timeout": int(time.time() + CELL_TIMEOUT_S),
            "parameters": [content],
        }
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "message", "params": params})
        edge = HttpClient(f"http://127.0.0.1:{settings['edge_port']}")
        await self.system.proxy.stop()
        try:
            await self._persist(lambda: edge.request("POST", "/", body=body, headers=JSON))
        finally:
            await edge.close()
            await self.system.proxy.start()

    # What an operator does, and does again when a program was away.

    async def _order(self, package: DebFile, number: int) -> str:
        web, name = self.system.web, f"only-{number}"
        await self._persist(lambda: self.system.upload(package), "package_exists")
        await self._persist(lambda: web.new_filter(name, f'vin_matches "^{self.vehicle.vin}$"'), "filter_exists")
        await self._persist(lambda: web.associate(package.id, name), "association_exists")
        now = datetime.now(UTC)
        interval = Interval(start=now - timedelta(minutes=1), end=now + timedelta(days=1))
        order = QueueRequest(package=package.id, priority=50, interval=interval)
        while True:
            # An attempt whose answer did not arrive may have queued it; by now it may even be over.
            for status in (None, RequestStatus.COMPLETED):
                listing = functools.partial(web.queued_requests, RequestQuery(package.id.text, status=status))
                known = await self._persist(listing)
                if known is not None and known.items:
                    return str(known.items[0].install_request_id)
            try:
                return (await web.queue_package(order)).install_request_id
            except SotaError:
                await asyncio.sleep(0.2)

    async def _persist(self, work: Callable[[], Awaitable[Answer]], done: str = "") -> Answer | None:
        """Try until it is done, or was done by an attempt whose answer did not arrive."""
        while True:
            try:
                return await work()
            except SotaError as error:
                if error.code == done:
                    return None
                await asyncio.sleep(0.2)

    # The kill.

    async def _watch(self, result: Result) -> None:
        """See the program die, note what was committed, start it again."""
        name = self._name(result.cell.program)
        program = self.system.programs[name]

        async def look() -> bool:
            return not program.running

        await until(look, f"{name} dies", timeout_s=2 * CELL_TIMEOUT_S, interval_s=0.005)
        committed = await self._committed()
        mark = self.system.programs["core"].mark()
        self._at_death = (committed, mark)
        await self.system.restart(name)

    _at_death: tuple[set[tuple[int, int]], int] | None = None

    @property
    def _sent_again(self) -> list[str]:
        if self._at_death is None:
            return []
        committed, mark = self._at_death
        self._at_death = None
        events = self.system.logs("core", "block_sent", since=mark)
        again = committed & {(e["download_index"], e["index"]) for e in events if e["vin"] == self.vehicle.vin}
        return [f"blocks sent again: {sorted(again)}"] if again else []

    async def _raise_the_dead(self) -> None:
        for program in PROGRAMS:
            if not self.system.programs[self._name(program)].running:
                await self.system.restart(self._name(program))

    # What is looked at.

    async def _installed(self, request: str) -> None:
        async def look() -> Update | None:
            try:
                update = (await self.system.updates(request)).get(self.vehicle.vin)
            except (Unavailable, SotaError):
                return None
            return update if update is not None and update.status not in OPEN else None

        update = await until(look, "the update ends", timeout_s=CELL_TIMEOUT_S, interval_s=0.05)
        assert update.status is UpdateStatus.INSTALLED, f"{update.status} {update.reason}: {update.result_text}"

    async def _look(self, package: PackageId, request: str) -> list[str]:
        """Return what is wrong in the end; late messages are waited for."""
        deadline = asyncio.get_running_loop().time() + LAST_WORDS_S
        while True:
            wrong = [text for check in self._checks for text in await check(self, package, request)]
            if not wrong or asyncio.get_running_loop().time() > deadline:
                return wrong
            await asyncio.sleep(0.1)

    async def _check_vehicle(self, package: PackageId, _request: str) -> list[str]:
        wrong = []
        if self.vehicle.installed().get(package.name) != package.version:
            wrong.append("the vehicle has another version")
        lines = (self.vehicle.root / "installations").read_text().split()
        if lines.count(package.version) != 1:
            wrong.append(f"installed {lines.count(package.version)} times")
        return wrong

    async def _check_last_words(self, package: PackageId, _request: str) -> list[str]:
        heard = _ask(self.vehicle.data / "client" / "client.db", "download", "state", package.version)
        told = _ask(self.vehicle.data / "slm" / "slm.db", "accepted_download", "reported", package.version)
        return ([] if heard == "done" else [f"the client's report is {heard}"]) + (
            [] if told else ["the loading manager still reports"]
        )

    async def _check_counts(self, _package: PackageId, request: str) -> list[str]:
        try:
            counts = (await self.system.web.install_request(request)).counts
        except SotaError as error:
            return [str(error)]
        return [] if (counts.installed, counts.failed, counts.cancelled) == (1, 0, 0) else [f"counted {counts}"]

    async def _check_core(self, package: PackageId, _request: str) -> list[str]:
        rows = await self._rows(
            "core",
            sa.select(download.c.download_index, operation_result.c.operation)
            .join_from(
                download,
                operation_result,
                sa.and_(
                    operation_result.c.vin == download.c.vin,
                    operation_result.c.download_index == download.c.download_index,
                ),
            )
            .where(download.c.vin == self.vehicle.vin, download.c.package_version == package.version),
        )
        verified = [row for row in rows if row.operation == "verify"]
        return [] if len(verified) == 1 else [f"{len(verified)} reports are kept"]

    async def _check_resolver(self, package: PackageId, _request: str) -> list[str]:
        software, has = resolver.software, resolver.installed_package
        rows = await self._rows(
            "resolver",
            sa.select(software.c.version)
            .join_from(has, software, has.c.software_id == software.c.id)
            .join(resolver.vehicle, resolver.vehicle.c.id == has.c.vehicle_id)
            .where(resolver.vehicle.c.vin == self.vehicle.vin, software.c.name == package.name),
        )
        found = [row.version for row in rows]
        return [] if found == [package.version] else [f"the Resolver has {found}"]

    _checks: tuple[Callable[[Line, PackageId, str], Awaitable[list[str]]], ...] = (
        _check_vehicle,
        _check_last_words,
        _check_counts,
        _check_core,
        _check_resolver,
    )

    async def _committed(self) -> set[tuple[int, int]]:
        query = sa.select(download.c.download_index, download.c.received).where(download.c.vin == self.vehicle.vin)
        rows = await self._rows("core", query)
        return {
            (row.download_index, block)
            for row in rows
            for block in range(1, 2 * BLOCKS + 1)
            if block in Ranges.parse(row.received)
        }

    async def _rows(self, program: str, query: sa.Select[Any]) -> list[Any]:
        database = self.system.database(program)
        try:
            async with database.read() as tx:
                return list(await tx.execute(query))
        finally:
            await database.close()

    def _name(self, program: str) -> str:
        return program.replace("vehicle/", f"{self.vehicle.vin}/")

    def _faults(self, program: str) -> Path:
        return self.system.faults_of(self._name(program))

    def _steps(self, program: str) -> list[str]:
        file = self._faults(program) / "steps"
        return file.read_text().splitlines() if file.exists() else []


def _ask(file: Path, table: str, column: str, version: str) -> Any:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
        row = database.execute(f"SELECT {column} FROM {table} WHERE version = ?", (version,)).fetchone()
    return row[0] if row else None


def as_matrix(results: Iterable[Result]) -> str:
    """Print the matrix: a row a program and step, what came of the kill before and after it."""
    entries = [
        Entry(result.cell.program, result.cell.what, result.cell.side, result.word)
        for result in sorted(results, key=lambda each: PROGRAMS.index(each.cell.program))
    ]
    return as_table(entries, (BEFORE, AFTER))
