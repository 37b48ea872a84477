"""How many SQL statements each read takes: kept in ``query_counts.json``, and never more, however many rows there are.

A list that asks once more for each of its rows is quick on a developer's machine and slow in a market; it is caught
here. The calls are those of the table: a new read of B1, B2 or B3 is measured once, by

    SOTA_WRITE_QUERY_COUNTS=1 python -m pytest tests/integration/db/test_query_counts.py

and checks the file in with it. Statements are counted in the program that is called, not in those it calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sota.boundaries.authority import Authority
from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.binding.app import App
from sota.boundaries.interaction import Http, Interaction, Program, Role
from sota.boundaries.table import rows_for
from sota.boundaries.values import PackageId
from sota.core import tables
from sota.kit.http.client import HttpClient
from sota.kit.runtime.clock import new_id
from tests.conftest import new_database
from tests.support.backend import Backend, running_backend
from tests.support.names import new_vin

pytestmark = pytest.mark.anyio
BASELINE = Path(__file__).with_name("query_counts.json")
READS = {Program.SOTA_CORE: ("B2",), Program.EXTERNAL_RESOLVER: ("B3", "B5"), Program.WEB_SERVER: ("B1",)}
COMMANDS = {Program.SOTA_CORE: "core", Program.EXTERNAL_RESOLVER: "resolver", Program.WEB_SERVER: "web"}
SIZES = (2, 14)
REGEX = "."
# The console's page, with a session instead of a token.
CONSOLE = "WL-B1-16"
# A service's token has none: they are asked for in a session too.
OWN_SESSIONS = "X-B1-43"
_statements: ContextVar[list[str] | None] = ContextVar("statements", default=None)

CREDENTIALS = (
    (Program.WEB_SERVER, Program.SOTA_CORE),
    (Program.WEB_SERVER, Program.EXTERNAL_RESOLVER),
    (Program.SOTA_CORE, Program.EXTERNAL_RESOLVER),
)

Counts = dict[str, dict[str, int]]
Clients = dict[tuple[Program, Program], HttpClient]


class Statements:
    """The statements of requests; what programs do in the background belongs to no request."""

    def __init__(self) -> None:
        self.served: list[tuple[str, list[str]]] = []

    def of(self, command: str) -> list[str]:
        """Return the statements of the one request that a program has answered since the last call."""
        (found,) = [statements for program, statements in self.served if program == command]
        self.served.clear()
        return found


@pytest.fixture(scope="module")
def statements() -> Iterator[Statements]:
    counted, serve = Statements(), App.__call__

    async def observed(app: App, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        mine: list[str] = []
        token = _statements.set(mine)
        try:
            counted.served.append((app.program, mine))
            await serve(app, scope, receive, send)
        finally:
            _statements.reset(token)

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        mine = _statements.get()
        if mine is not None and not statement.startswith("BEGIN"):  # only SQLite is told so by a statement
            mine.append(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "__call__", observed)
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        yield counted
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
async def backend(
    request: pytest.FixtureRequest, statements: Statements, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Backend]:
    databases = [new_database(request, tmp_path_factory, request.param) for _ in range(3)]
    async with running_backend(tmp_path_factory.mktemp("backend"), databases) as backend:
        Authority.open(backend.core.settings.authority)
        yield backend


def reads(program: Program) -> list[Interaction]:
    """List the rows that read a program's data."""
    return [
        row
        for row in rows_for(program)
        if row.boundary in READS[program]
        and isinstance(row.way, Http)
        and row.way.method == "GET"
        and row.way.path.startswith("/api/")
        and row.callee is program
        and row.id != OWN_SESSIONS
    ]


async def seed(backend: Backend, count: int) -> dict[str, str]:
    """Add this many related rows of every kind; return the path parameters of the last ones."""
    prefix = f"N{count:02d}X"
    parts = [f"PART-{prefix}-{number}" for number in range(count)]
    for part in parts:
        await _done(backend, "POST", "/components", {"part_number": part, "name": part, "description": "A part"})
    name = await backend.with_targeted_package(f'vin_matches "^{prefix}"')
    packages = [name, *[await backend.with_package() for _ in range(count - 1)]]
    installed = [dict(zip(("name", "version"), package.split("/"), strict=True)) for package in packages]
    for _ in range(count):
        filter_name = await backend.with_filter(f'vin_matches "^{prefix}"')
        await _done(backend, "POST", f"/packages/{name}/filters", {"filter": filter_name})
    vins = [new_vin(prefix) for _ in range(count)]
    for vin in vins:
        await _done(backend, "POST", "/vehicles", {"vin": vin})
    request_id = ""
    start = datetime.now(UTC) + timedelta(hours=1)
    for _ in range(count):
        order = {
            "package": installed[0],
            "priority": 10,
            "interval": {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()},
        }
        over = (await _done(backend, "POST", "/install-requests", order))["install_request_id"]
        await _done(backend, "POST", f"/install-requests/{over}/cancel", None)  # a history to list
        request_id = (await _done(backend, "POST", "/install-requests", order))["install_request_id"]
    updates = await _done(backend, "GET", f"/install-requests/{request_id}/vehicles", None)
    assert len(updates) == count
    await _complete(backend, vins[: count // 2])
    for vin in vins:
        await _done(backend, "PUT", f"/vehicles/{vin}/packages", installed)
    (package_name, version) = name.split("/")
    await _done(backend, "PUT", f"/vehicles/{vins[-1]}/attributes", {f"a{number}": "x" for number in range(count)})
    for _ in range(count):
        issued = await backend.ask(
            "POST", f"/api/v1/vehicles/{vins[-1]}/identities", {"replace": True}, role=Role.ADMIN
        )
        assert issued.status == 200, issued
    group = f"group-{prefix}"
    await _done(backend, "PUT", f"/groups/{group}", {})
    await _done(backend, "PUT", f"/groups/{group}/vehicles", vins)
    chosen, left_out = await _record_two(backend, name)
    await _done(backend, "PUT", f"/packages/{name}/dependencies", installed[1:])
    return {
        "group": group,
        "chosen": chosen,
        "left_out": left_out,
        "vin": vins[-1],
        "name": package_name,
        "version": version,
        "id": request_id,
        "update_id": updates[-1]["update_id"],
        "part_number": parts[-1],
        "user": "admin",
    }


async def _record_two(backend: Backend, package: str) -> tuple[str, str]:
    """Resolve twice under an id, as Core does; the second time all are left out, for something needed is not there."""
    name, version = package.split("/")
    token = (backend.folder / "core-resolver.token").read_text().strip()
    client = HttpClient(f"http://127.0.0.1:{backend.resolver.port}", token=token)
    ids = str(new_id()), str(new_id())
    for id in ids:
        async for _found in FactsClient(client).resolve(PackageId(name=name, version=version), id):
            pass
        await _done(backend, "PUT", f"/packages/{package}/dependencies", [{"name": "nowhere", "version": "1.0.0"}])
    await client.close()
    return ids


async def _complete(backend: Backend, vins: list[str]) -> None:
    """Let these vehicles' updates have ended well, so that there are completed ones to list, and others."""
    ended = {"status": "installed", "stage": None, "completed_at": datetime.now(UTC)}
    statement = tables.update.update().where(tables.update.c.vin.in_(vins)).values(**ended)
    await backend.core.db.transact(lambda tx: tx.execute(statement))


async def _done(backend: Backend, method: str, path: str, body: Any) -> Any:
    answer = await backend.ask(method, f"/api/v1{path}", body)
    assert answer.status == 200, (path, answer)
    return answer.body


async def measure(backend: Backend, clients: Clients, statements: Statements, paths: Mapping[str, str]) -> Counts:
    """Make every call once; return its number of statements, by program and row."""
    counts: Counts = {}
    browser = await backend.signed_in()
    for program in READS:
        for row in reads(program):
            client = clients[row.caller, row.callee]
            assert isinstance(row.way, Http)
            named = paths
            if "/resolutions/" in row.way.path:
                named = {**paths, "id": paths["left_out" if row.way.path.endswith("left-out") else "chosen"]}
            for key, query in _variants(row.id, row.way):
                statements.served.clear()
                asked = {**query, **({"to": paths["left_out"]} if "to" in row.way.parameters else {})}
                response = await client.request("GET", row.way.path.format(**named), query=asked)
                assert response.status == 200, (row.id, response.status, response.body[:300])
                assert response.body != b"[]", f"{row.id}: nothing was listed, and so nothing is proved"
                counts.setdefault(program.value, {})[key] = len(statements.of(COMMANDS[program]))
    statements.served.clear()
    assert (await browser.console()).status == 200
    counts[Program.WEB_SERVER.value][CONSOLE] = len(statements.of("web"))
    assert (await browser.request("GET", "/api/v1/account/sessions")).status == 200
    counts[Program.WEB_SERVER.value][OWN_SESSIONS] = len(statements.of("web"))
    return counts


def _variants(row_id: str, way: Http) -> Iterator[tuple[str, dict[str, str]]]:
    """Return a row's calls: plain, and as a search where it has one."""
    if way.selected_by is None:
        yield row_id, {}
    if "regex" in way.parameters:
        yield (row_id if way.selected_by == "regex" else f"{row_id} regex"), {"regex": REGEX}


@asynccontextmanager
async def callers(backend: Backend) -> AsyncIterator[Clients]:
    """Return a client for each pair of programs, with the credential that the one has for the other."""
    ports = {Program.SOTA_CORE: backend.core.port, Program.EXTERNAL_RESOLVER: backend.resolver.port}
    clients: Clients = {(Program.WEB_BROWSER, Program.WEB_SERVER): await backend.client(Role.ADMIN)}
    for caller, callee in CREDENTIALS:
        token = (backend.folder / f"{COMMANDS[caller]}-{COMMANDS[callee]}.token").read_text().strip()
        clients[caller, callee] = HttpClient(f"http://127.0.0.1:{ports[callee]}", token=token)
    try:
        yield clients
    finally:
        for pair in CREDENTIALS:
            await clients[pair].close()


async def test_reads_take_no_more_statements_than_before_at_any_size(backend: Backend, statements: Statements) -> None:
    async with callers(backend) as clients:
        small, large = [await measure(backend, clients, statements, await seed(backend, size)) for size in SIZES]
    assert large == small, "a call takes more statements where there are more rows"
    if os.environ.get("SOTA_WRITE_QUERY_COUNTS"):
        BASELINE.write_text(json.dumps(small, indent=2, sort_keys=True) + "\n")
    baseline: Counts = json.loads(BASELINE.read_text())
    known = {(program, key) for program, counts in baseline.items() for key in counts}
    called = {(program, key) for program, counts in small.items() for key in counts}
    assert known == called, "a read was declared or removed: measure again, as the head of this file says"
    more = {
        (program, key): (baseline[program][key], count)
        for program, counts in small.items()
        for key, count in counts.items()
        if count > baseline[program][key]
    }
    assert more == {}, "more statements than before (before, now): if it must be, measure again"
