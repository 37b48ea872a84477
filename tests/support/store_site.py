"""A backend during a fault of its store: the requests before, during and after, and the answers that are expected.

* while the fault lasts every process runs, each request is answered, what cannot be done is 503 with ``Retry-After``,
  and ``/readyz`` is 503 and says why;
* when it ends all requests succeed without a restart, and everything that was acknowledged is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sota.cli.schemas import create_schemas
from sota.kit.errors import Unavailable
from sota.kit.http.client import HttpClient, Response
from tests.support.matrix_table import RIGHT, WRONG, Entry
from tests.support.names import new_vin
from tests.support.processes import ProgramProcess, free_ports
from tests.support.store_faults import Fault, Store
from tests.support.system import System
from tests.support.system_settings import BACKEND
from tests.support.waiting import until

READS = ("/vehicles", "/packages", "/filters", "/components", "/install-requests")
PORTS = ("http", "https", "core", "resolver", "edge", "link", "operation")
ANSWER_S, READY_S = 60.0, 120.0
MOST_WRITES = 400


@dataclass(slots=True)
class Site:
    """A backend, apart or in one process, with a token for its API."""

    shape: str
    store: Store
    programs: Mapping[str, ProgramProcess]
    operation_ports: Mapping[str, int]
    api: HttpClient
    acknowledged: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    async def play(self, fault: Fault) -> Entry:
        """Go through a fault; the entry says whether all was right."""
        self.wrong = []
        pids = {name: program.pid for name, program in self.programs.items()}
        marks = {name: program.mark() for name, program in self.programs.items()}
        await self._all_succeeds("before")
        try:
            await asyncio.to_thread(fault.begin, self.store)
            await self._during(fault)
        finally:
            await asyncio.to_thread(fault.end, self.store)
        await self._becomes_ready()
        await self._all_succeeds("after")
        await self._nothing_is_lost()
        for name, program in self.programs.items():
            self._check(program.running and program.pid == pids[name], f"{name} ended: {program.tail()}")
            for event in program.events("request_crashed", since=marks[name]):
                self._check(False, f"{name} has a fault of its own: {event.get('exception', event)[-1500:]}")
        for line in self.wrong:
            print(f"{self.shape}, {fault}: {line}", flush=True)
        return Entry(fault.engine, fault.name, self.shape, WRONG if self.wrong else RIGHT)

    async def _during(self, fault: Fault) -> None:
        for path in READS:
            self._expect(f"GET {path}", await self._ask("GET", path), may=fault.reads)
        await self._write_during(fault)
        if fault.writes is not True:
            await self._is_not_ready()
        for name, program in self.programs.items():
            self._check(program.running, f"{name} ended meanwhile: {program.tail()}")

    async def _write_during(self, fault: Fault) -> None:
        if fault.writes is None:
            await self._write_until_refused()
            return
        vin, name = new_vin(), f"f-{secrets.token_hex(6)}"
        answer = await self._ask("POST", "/vehicles", {"vin": vin})
        self._expect("POST /vehicles", answer, may=fault.writes)
        if answer is not None and answer.status == 200:
            self.acknowledged.add(vin)
        for path, body in (
            ("/filters", {"name": name, "expression": "TRUE"}),
            ("/components", {"part_number": name}),
        ):
            self._expect(f"POST {path}", await self._ask("POST", path, body), may=fault.writes)

    async def _write_until_refused(self) -> None:
        padding = " OR ".join(['vin_matches "^WVWZZZ"'] * 60)
        for _ in range(MOST_WRITES):
            body = {"name": f"f-{secrets.token_hex(6)}", "expression": padding}
            answer = await self._ask("POST", "/filters", body)
            if answer is None or answer.status != 200:
                self._expect("POST /filters", answer, may=False)
                return
        self._check(False, f"{MOST_WRITES} writes went onto a full disk")

    async def _all_succeeds(self, when: str) -> None:
        for path in READS:
            self._expect(f"{when}: GET {path}", await self._ask("GET", path), may=True)
        vin, name = new_vin(), f"f-{secrets.token_hex(6)}"
        bodies: tuple[tuple[str, dict[str, Any]], ...] = (
            ("/vehicles", {"vin": vin}),
            ("/filters", {"name": name, "expression": f'vin_matches "{vin}"'}),
            ("/components", {"part_number": name}),
        )
        for path, body in bodies:
            answer = await self._ask("POST", path, body)
            self._expect(f"{when}: POST {path}", answer, may=True)
        self.acknowledged.add(vin)

    async def _nothing_is_lost(self) -> None:
        for vin in sorted(self.acknowledged):
            answer = await self._ask("GET", f"/vehicles/{vin}")
            self._check(answer is not None and answer.status == 200, f"{vin} was acknowledged and is lost")

    async def _is_not_ready(self) -> None:
        answers = {name: await self._readiness(name) for name in self.operation_ports}
        self._check(
            any(answer.status == 503 for answer in answers.values()), f"all programs say that they are ready: {answers}"
        )
        for name, answer in answers.items():
            if answer.status == 503:
                detail = json.loads(answer.body)["detail"]
                self._check(": " in detail and len(detail) > 20, f"/readyz of {name} says no reason: {detail}")
                self._check("retry-after" in answer.headers, f"/readyz of {name} does not say when to ask again")

    async def _becomes_ready(self) -> None:
        async def look() -> bool:
            answers = [await self._readiness(name) for name in self.operation_ports]
            return all(answer.status == 200 for answer in answers)

        try:
            await until(look, "all programs are ready again", timeout_s=READY_S, interval_s=0.2)
        except AssertionError as error:
            self._check(False, str(error))

    async def _readiness(self, name: str) -> Response:
        client = HttpClient(f"http://127.0.0.1:{self.operation_ports[name]}", timeout_s=ANSWER_S)
        try:
            return await client.request("GET", "/readyz")
        except Unavailable as error:
            return Response(0, {}, json.dumps({"detail": str(error)}).encode())
        finally:
            await client.close()

    async def _ask(self, method: str, path: str, body: Any = None) -> Response | None:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            return await self.api.request(method, f"/api/v1{path}", body=content, headers=headers)
        except Unavailable as error:
            self._check(False, f"{method} {path} was not answered: {error}")
            return None

    def _expect(self, what: str, answer: Response | None, *, may: bool) -> None:
        if answer is None:
            return
        if may:
            self._check(answer.status == 200, f"{what} is {answer.status}: {answer.body[:300]!r}")
            return
        self._check(answer.status == 503, f"{what} is {answer.status} and no 503: {answer.body[:300]!r}")
        self._check("retry-after" in answer.headers, f"{what} is 503 without Retry-After")

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)


@contextlib.asynccontextmanager
async def joined(store: Store, folder: Path) -> AsyncIterator[Site]:
    """Run ``sota up`` on a store."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    ready = folder / "ready.json"
    options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    if store.address is not None:
        options += ["--database", store.address]
    data = store.folder / "var" if store.server is None else folder / "var"
    program = ProgramProcess("up", ["up", "--data", str(data), "--ready-file", str(ready), *options], folder / "up.log")
    program.start()
    try:

        async def look() -> bool:
            assert program.running, program.tail()
            return ready.exists() and ready.read_text().endswith("\n")

        await until(look, "sota up is ready", timeout_s=READY_S, latest=program.tail)
        token = json.loads(ready.read_text())["token"]
        api = HttpClient(f"http://127.0.0.1:{ports['http']}", token, timeout_s=ANSWER_S)
        yield Site("sota up", store, {"up": program}, {"up": ports["operation"]}, api)
        await api.close()
    finally:
        await program.stop()


@contextlib.asynccontextmanager
async def apart(store: Store, folder: Path) -> AsyncIterator[Site]:
    """Run each program as a separate process on a store."""
    if store.address is not None:
        await create_schemas(store.address)
    place = store.folder / "apart" if store.server is None else folder
    system = System(place, server=store.address)
    try:
        await system.start_backend()
        programs = {name: system.programs[name] for name in BACKEND}
        api = HttpClient(f"http://127.0.0.1:{system.ports.http}", system.token, timeout_s=ANSWER_S)
        ports = {name: port for name, port in system.ports.operation.items() if name != "node"}
        yield Site("apart", store, programs, ports, api)
        await api.close()
    finally:
        await asyncio.shield(system.stop())
