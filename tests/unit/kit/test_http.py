"""The binder, the listener and the client together, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.interaction import Boundary, Http, Program, answers, fails, refuses
from sota.boundaries.parameters import Limit, NamePath, Parameters
from sota.kit.errors import Refused, StartError, Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.http.listener import HttpListener

pytestmark = pytest.mark.anyio


class NewVehicle(msgspec.Struct):
    vin: str


class SearchQuery(Parameters, frozen=True):
    regex: str | None = None
    crash: bool = False
    limit: Limit = 100


B = Boundary("T1", Program.WEB_SERVER, Program.SOTA_CORE)
INSERT = B.row(
    "WL-T1-1",
    "New VIN",
    Http("POST", "/api/v1/vehicles", max_body=1000),
    answers("inserted", "made", "Row Inserted"),
    refuses("vin_exists", 409, "VIN already exists"),
    request=NewVehicle,
)
SEARCH = B.row(
    "WL-T1-2",
    "Search VINs Request",
    Http("GET", "/api/v1/vehicles", query=SearchQuery),
    answers("listed", "list"),
    fails("Search VINs Request"),
)
SEARCH_REGEX = B.row(
    "WL-T1-3",
    "Search by regex",
    Http("GET", "/api/v1/vehicles", query=SearchQuery, selected_by="regex"),
    answers("listed", "list"),
)
SHOW = B.row("WL-T1-4", "Show", Http("GET", "/api/v1/vehicles/{name}/packages"), answers("found", "ok"))
UPLOAD = B.row(
    "WL-T1-5", "Upload", Http("PUT", "/files/{name}.bin", max_body=None), answers("stored", "ok", "{package} stored")
)
ROWS = (INSERT, SEARCH, SEARCH_REGEX, SHOW, UPLOAD)


class Vehicles:
    @serves("WL-T1-1")
    async def insert(self, call: Call[None, None, NewVehicle]) -> Reply:
        if call.body.vin == "KNOWN":
            raise Refused("vin_exists", "KNOWN is registered already.")
        return Reply("inserted", {"vin": call.body.vin})

    @serves("WL-T1-2", "WL-T1-3")
    async def search(self, call: Call[None, SearchQuery, None]) -> Reply:
        if call.query.regex == "boom":
            raise RuntimeError("secret inside")
        if call.query.crash:
            raise RuntimeError("secret inside")
        return Reply("listed", [call.row.id])

    @serves("WL-T1-4")
    async def show(self, call: Call[NamePath, None, None]) -> Reply:
        return Reply("found", {"vin": call.path.name})

    @serves("WL-T1-5")
    async def upload(self, call: Call[NamePath, None, None]) -> Reply:
        size = 0
        async for part in call.stream():
            size += len(part)
        return Reply("stored", {"size": size}, values={"package": call.path.name})


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    app = App("core", ROWS)
    app.add(Vehicles())
    app.check()
    listener = HttpListener(app, "127.0.0.1", 0)
    await listener.start()
    client = HttpClient(f"http://127.0.0.1:{listener.port}", pool=4)
    yield client
    await client.close()
    await listener.stop()


async def post(client: HttpClient, body: Any) -> tuple[int, Any]:
    response = await client.request(
        "POST", "/api/v1/vehicles", body=msgspec.json.encode(body), headers={"content-type": "application/json"}
    )
    return response.status, msgspec.json.decode(response.body)


async def test_an_outcome_gets_the_rows_status_and_message(client: HttpClient) -> None:
    assert await post(client, {"vin": "A"}) == (200, {"message": "Row Inserted", "vin": "A"})


async def test_a_refusal_is_a_problem_with_the_rows_title(client: HttpClient) -> None:
    status, problem = await post(client, {"vin": "KNOWN"})
    assert status == 409
    assert problem == {
        "type": "about:blank",
        "title": "VIN already exists",
        "status": 409,
        "code": "vin_exists",
        "detail": "KNOWN is registered already.",
        "interaction": "WL-T1-1",
    }


async def test_a_malformed_body_is_400_and_a_long_one_413(client: HttpClient) -> None:
    assert (await post(client, {"vin": 7}))[0] == 400
    assert (await post(client, {"vin": "x" * 1000}))[0] == 413
    response = await client.request("POST", "/api/v1/vehicles", body=b"{}", headers={"content-type": "text/plain"})
    assert response.status == 415


async def test_an_unexpected_failure_is_the_rows_failed_and_leaks_nothing(client: HttpClient) -> None:
    response = await client.request("GET", "/api/v1/vehicles", query={"crash": "true"})
    assert response.status == 404
    assert msgspec.json.decode(response.body)["title"] == "Search VINs Request failed"
    assert b"secret" not in response.body


async def test_a_query_selects_the_row_of_a_shared_route(client: HttpClient) -> None:
    assert (await client.request("GET", "/api/v1/vehicles")).body == b'["WL-T1-2"]'
    assert (await client.request("GET", "/api/v1/vehicles", query={"regex": "^A"})).body == b'["WL-T1-3"]'


async def test_unknown_paths_and_methods_are_refused(client: HttpClient) -> None:
    assert (await client.request("GET", "/api/v1/nothing")).status == 404
    response = await client.request("DELETE", "/api/v1/vehicles")
    assert (response.status, response.headers["allow"]) == (405, "GET, POST")


async def test_an_encoded_slash_stays_inside_its_segment(client: HttpClient) -> None:
    response = await client.request("GET", "/api/v1/vehicles/a%2Fb/packages")
    assert msgspec.json.decode(response.body) == {"vin": "a/b"}


async def test_a_body_is_streamed_both_ways_and_the_connection_serves_again(client: HttpClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    for _ in range(3):
        response = await client.request("PUT", "/files/map.bin", body=parts())
        assert msgspec.json.decode(response.body) == {"message": "map stored", "size": 64 * 65536}


async def test_many_calls_share_the_pool(client: HttpClient) -> None:
    results = await asyncio.gather(*(post(client, {"vin": str(number)}) for number in range(50)))
    assert [body["vin"] for _, body in results] == [str(number) for number in range(50)]


async def test_absent_server_is_unavailable() -> None:
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await client.request("GET", "/")


def test_a_route_added_by_hand_stops_the_start_with_a_clear_line() -> None:
    app = App("core", ROWS)
    feature = Vehicles()
    app.add(feature)
    app.route("GET", "/api/v1/debug", feature.search)
    with pytest.raises(StartError, match=r"core: GET /api/v1/debug is not a declared interaction"):
        app.check()


def test_a_row_of_another_table_does_not_count_as_declared() -> None:
    app = App("core", ROWS[:1])
    app.route("GET", "/api/v1/vehicles", Vehicles().search, (SEARCH,))
    with pytest.raises(StartError):
        app.check()
