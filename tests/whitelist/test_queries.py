"""Queries of all programs: a parameter that a row does not declare is refused, with the nearest one that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.interaction import Http, Interaction, Program, Role
from sota.boundaries.openapi.parameters import parameters_of
from sota.boundaries.table import TABLE
from sota.kit.http.client import HttpClient
from tests.support.answer import read
from tests.support.backend import Backend, running_backend

pytestmark = pytest.mark.anyio
INTERVAL = {"start": "2026-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}
KNOWN = {
    "vin": "WVWZZZ1KZ7W000001",
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "update_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "name": "ivi",
    "version": "1.0.0",
    "part_number": "TCU-5G",
    "group": "pilot",
    "filter": "all",
    "user": "alice",
    "page": "index",
    "file": "console",
}
OVER_HTTP = [row for row in TABLE.values() if isinstance(row.way, Http) and not row.way.secret_path]
BY_PROGRAM = {
    program: [row for row in OVER_HTTP if row.callee is program and row.caller is not Program.LOGISTICS]
    for program in (Program.WEB_SERVER, Program.SOTA_CORE, Program.EXTERNAL_RESOLVER)
}


def cases(program: Program) -> pytest.MarkDecorator:
    rows = BY_PROGRAM[program]
    return pytest.mark.parametrize("row", rows, ids=[row.id for row in rows])


@pytest.fixture(scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    folder = tmp_path_factory.mktemp("queries")
    databases = [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    async with running_backend(folder, databases) as running:
        yield running


@pytest.fixture(scope="module")
async def browser(backend: Backend) -> Browser:
    return await backend.signed_in()


def asked(row: Interaction) -> tuple[str, str]:
    assert isinstance(row.way, Http)
    return row.way.method, row.way.path.format(**KNOWN)


@cases(Program.WEB_SERVER)
async def test_web_server_refuses_a_parameter_that_its_row_does_not_declare(
    backend: Backend, browser: Browser, row: Interaction
) -> None:
    method, path = asked(row)
    if path.startswith("/api/v1/"):
        answer = await backend.ask(method, path, role=Role.ADMIN, query={"regx": "^WVW"})
    else:
        answer = read(await browser.request(method, f"{path}?regx=%5EWVW"))
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert "There is no query parameter 'regx'" in answer.body["detail"]


@cases(Program.SOTA_CORE)
async def test_core_refuses_a_parameter_that_its_row_does_not_declare(backend: Backend, row: Interaction) -> None:
    await refused_behind(f"http://127.0.0.1:{backend.core.port}", backend, "web-core", row)


@cases(Program.EXTERNAL_RESOLVER)
async def test_resolver_refuses_a_parameter_that_its_row_does_not_declare(backend: Backend, row: Interaction) -> None:
    name = "core-resolver" if row.caller is Program.SOTA_CORE else "web-resolver"
    await refused_behind(f"http://127.0.0.1:{backend.resolver.port}", backend, name, row)


async def refused_behind(address: str, backend: Backend, credential: str, row: Interaction) -> None:
    token = None if row.caller is Program.OPERATION else (backend.folder / f"{credential}.token").read_text()
    client = HttpClient(address, token)
    method, path = asked(row)
    answer = read(await client.request(method, path, query={"regx": "^WVW"}))
    await client.close()
    assert (answer.status, answer.body["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("path", "query", "hint"),
    [
        ("/api/v1/vehicles", "regx=WVW", "did you mean regex?"),
        ("/api/v1/filters", "Regex=all", "did you mean regex?"),
        ("/api/v1/install-requests", "state=completed", "did you mean status?"),
        ("/api/v1/packages", "zzz=1", "this call takes regex, limit, cursor."),
        ("/api/v1/vehicles/WVWZZZ1KZ7W000001", "packages=true", "this call takes none."),
        ("/api/v1/vehicles", "limit=1&limit=2", "The query has 'limit' more than once."),
    ],
)
async def test_refusal_names_the_nearest_parameter(backend: Backend, path: str, query: str, hint: str) -> None:
    answer = await backend.ask("GET", f"{path}?{query}")
    assert answer.status == 400
    assert answer.body["detail"].endswith(hint)


async def test_caller_without_a_token_learns_no_parameter(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/vehicles?regx=WVW", role=Role.PUBLIC)
    assert answer.status == 401


async def test_console_searches_and_loads_its_files(browser: Browser) -> None:
    assert (await browser.console({"regex": "^WVW"})).status == 200
    for address in ("/assets/console.js?v=1", "/assets/console.css?v=1"):
        assert (await browser.request("GET", address)).status == 200


def test_document_describes_every_parameter() -> None:
    for row in OVER_HTTP:
        described = {one["name"]: one["description"] for one in parameters_of([row]) if one["in"] == "query"}
        assert set(row.http.parameters) <= described.keys(), row.id
        assert all(described.values()), row.id


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/api/v1/vehicles", "limit=0", "limit must be a number from 1 to 1000, not '0'."),
        ("/api/v1/vehicles", "limit=1e2", "limit must be a number from 1 to 1000, not '1e2'."),
        ("/api/v1/vehicles", "packages=1", "packages must be true or false, not '1'."),
        ("/api/v1/install-requests", "status=open", "status must be one of"),
        ("/api/v1/install-requests", "package=ivi", "package must be NAME/VERSION."),
        ("/api/v1/install-requests", "vin=short", "vin must be a VIN: 17 capital letters and digits."),
        ("/api/v1/resolutions/01890a5d-ac96-774b-bcce-b302099a8057/difference", "to=1", "to must be an id such as"),
        ("/api/v1/resolutions/01890a5d-ac96-774b-bcce-b302099a8057/difference", "", "missing required field `to`"),
    ],
)
async def test_refusal_of_a_value_names_the_parameter_and_what_it_must_be(
    backend: Backend, path: str, query: str, said: str
) -> None:
    answer = await backend.ask("GET", f"{path}?{query}")
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert said in answer.body["detail"]


@pytest.mark.parametrize(("key", "status"), [("k" * 200, 404), ("k" * 201, 400), ("", 400), ("k	é", 400)])
async def test_idempotency_key_has_one_limit(backend: Backend, key: str, status: int) -> None:
    document = (await (await backend.api()).api_document()).paths
    (header,) = document["/api/v1/campaigns"]["post"]["parameters"]
    assert (header["name"], header["schema"]["maxLength"]) == ("Idempotency-Key", 200)
    body = {"name": "one", "package": {"name": "none", "version": "1.0.0"}, "priority": 1, **INTERVAL}
    answer = await backend.ask("POST", "/api/v1/campaigns", body, headers={"idempotency-key": key})
    assert answer.status == status, answer.body
