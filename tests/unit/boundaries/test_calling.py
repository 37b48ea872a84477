"""Clients of the boundaries against a real listener: encoding, decoding, pages, problems, lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from sota.boundaries import calling
from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core import rows as core_rows
from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.messages import QueueRequest
from sota.boundaries.b2_web_core.queries import VehicleQuery
from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.b5_core_resolver.messages import FactStatus, VehicleRegistered
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.b12_logistics_core.client import BATCH, LogisticsClient
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle
from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.calling import Caller
from sota.boundaries.parameters import BlockPath
from sota.boundaries.table import TABLE
from sota.boundaries.values import Interval, PackageId
from sota.kit.errors import Refused, Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.http.listener import HttpListener
from sota.kit.http.paging import link_next, link_to, make_cursor

pytestmark = pytest.mark.anyio

IVI = PackageId(name="ivi", version="2.1.0")
VIN = "WVW00000000000001"
QUEUE = QueueRequest(
    package=IVI,
    priority=1,
    interval=Interval(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 2, tzinfo=UTC)),
)
ID = "0190c5a0-7b1c-7000-8000-000000000001"


class Programs:
    """Handlers of a few rows of several programs, enough for one call of each kind."""

    def __init__(self) -> None:
        self.calls: list[AnyCall] = []
        self.refusal: Exception | None = None

    @serves("WL-B2-4")
    async def queue(self, call: Call[None, None, QueueRequest]) -> Reply:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal
        return Reply("queued", {"install_request_id": ID})

    @serves("WL-B2-7")
    async def search(self, call: Call[None, VehicleQuery, None]) -> Reply:
        self.calls.append(call)
        vehicles = [{"vin": VIN, "registered_at": "2026-01-01T00:00:00Z", "connected": True}]
        more = {} if call.query.cursor is not None else link_next(call, VIN)
        return Reply("listed", vehicles, headers=more)

    @serves("WL-B2-9")
    async def odd(self, call: AnyCall) -> Reply:
        self.calls.append(call)
        return Reply("changed", {"no": "array"})

    @serves("WL-B5-1")
    async def resolve(self, _call: AnyCall) -> Reply:
        async def lines() -> AsyncIterator[bytes]:
            for number in (1, 2):
                line = {"vin": f"WVW0000000000000{number}", "packages": [{"name": "ivi", "version": "2.1.0"}]}
                yield msgspec.json.encode(line) + b"\n"

        return Reply("resolved", stream=lines(), content_type=calling.NDJSON)

    @serves("WL-B5-2")
    async def facts(self, call: AnyCall) -> Reply:
        content = b"".join([part async for part in call.stream()])
        given = [msgspec.json.decode(line)["id"] for line in content.splitlines()]
        return Reply("recorded", [{"id": one, "status": "recorded"} for one in given])

    @serves("X-B12-1")
    async def provision(self, call: AnyCall) -> Reply:
        content = b"".join([part async for part in call.stream()])
        results = [
            {"line": number, "status": "inserted", "vin": msgspec.json.decode(line)["vin"]}
            for number, line in enumerate(content.splitlines(), 1)
        ]
        raw = b"".join(msgspec.json.encode(result) + b"\n" for result in results)
        return Reply("provisioned", raw=raw, content_type=calling.NDJSON)

    @serves("WL-B10-5")
    async def block(self, call: Call[BlockPath, None, bytes]) -> Reply:
        self.calls.append(call)
        return Reply("received", {"download_index": call.path.index, "received": f"1-{len(call.body)}"})

    @serves("WL-B1-21")
    async def upload(self, call: AnyCall) -> Reply:
        self.calls.append(call)
        call.body = b"".join([part async for part in call.stream()])
        return Reply("stored")


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
async def http(programs: Programs) -> AsyncIterator[HttpClient]:
    ids = ("WL-B2-4", "WL-B2-7", "WL-B2-9", "WL-B5-1", "WL-B5-2", "X-B12-1", "WL-B10-5", "WL-B1-21")
    app = App("test", [TABLE[row_id] for row_id in ids])
    app.add(programs)
    app.check()
    listener = HttpListener(app, "127.0.0.1", 0)
    await listener.start()
    client = HttpClient(f"http://127.0.0.1:{listener.port}")
    yield client
    await client.close()
    await listener.stop()


async def test_request_and_answer_are_the_rows_types(http: HttpClient, programs: Programs) -> None:
    queued = await Caller(http).call(core_rows.QUEUE_PACKAGE, body=QUEUE, key="one")
    assert queued.install_request_id == ID
    assert programs.calls[0].body == QUEUE
    assert programs.calls[0].key == "one"


async def test_refusal_of_the_other_program_keeps_its_code(http: HttpClient, programs: Programs) -> None:
    programs.refusal = Refused("filters_missing", "ivi/2.1.0 has no filters.")
    with pytest.raises(Refused) as refused:
        await Caller(http).call(core_rows.QUEUE_PACKAGE, body=QUEUE)
    assert (refused.value.code, refused.value.status) == ("filters_missing", 404)
    assert refused.value.title == "No filters associated with package"
    assert refused.value.detail == "ivi/2.1.0 has no filters."


async def test_program_that_is_away_for_now_is_unavailable(http: HttpClient, programs: Programs) -> None:
    programs.refusal = Unavailable("The Resolver is away.")
    with pytest.raises(Unavailable, match=r"The Resolver is away\."):
        await Caller(http).call(core_rows.QUEUE_PACKAGE, body=QUEUE)


async def test_program_that_is_not_there_is_unavailable() -> None:
    http = HttpClient("http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await Caller(http).call(core_rows.QUEUE_PACKAGE, body=QUEUE)


async def test_answer_of_another_type_is_unavailable(http: HttpClient) -> None:
    with pytest.raises(Unavailable, match="WL-B2-9 is not what the boundary declares"):
        await CoreClient(http).update_packages(VIN, [])


async def test_list_comes_in_pages(http: HttpClient, programs: Programs) -> None:
    core = CoreClient(http)
    first = await core.search_vehicles(VehicleQuery("^WVW", limit=1))
    last = await core.search_vehicles(VehicleQuery("^WVW", limit=1, cursor=first.cursor))
    assert [vehicle.vin for vehicle in first.items] == [VIN]
    assert (first.cursor is not None, last.cursor) == (True, None)
    assert programs.calls[0].raw_query == {"regex": "^WVW", "limit": "1"}


async def test_values_cannot_leave_their_place_in_the_path() -> None:
    assert calling.address(TABLE["WL-B3-9"], {"name": "a/../b?c"}) == ("DELETE", "/api/v1/filters/a%2F..%2Fb%3Fc")


async def test_lines_are_read_as_they_come(http: HttpClient) -> None:
    resolved = [one async for sets in FactsClient(http).resolve(IVI) for one in sets]
    assert [(vin[-1], one.packages) for one in resolved for vin in one.vins] == [("1", (IVI,)), ("2", (IVI,))]


async def test_lines_may_also_be_answered_with_an_array(http: HttpClient) -> None:
    results = await FactsClient(http).tell([VehicleRegistered(id="f1", vin=VIN), VehicleRegistered(id="f2", vin=VIN)])
    assert [(one.id, one.status) for one in results] == [("f1", FactStatus.RECORDED), ("f2", FactStatus.RECORDED)]


async def test_provisioning_counts_lines_over_all_batches(http: HttpClient) -> None:
    vehicles = [ProvisionedVehicle(vin=f"WVW{number:014d}") for number in range(BATCH + 2)]
    results = [one async for one in LogisticsClient(http).provision(vehicles)]
    assert [one.line for one in results] == list(range(1, BATCH + 3))
    assert results[-1].vin == vehicles[-1].vin


async def test_bytes_travel_as_they_are(http: HttpClient, programs: Programs) -> None:
    received = await SlmClient(http).send_block(7, 3, b"\x00\xff")
    assert programs.calls[0].body == b"\x00\xff"
    assert programs.calls[0].path == BlockPath(index=7, n=3)
    assert (received.download_index, received.received) == (7, "1-2")


async def test_upload_sends_metadata_before_the_file(http: HttpClient, programs: Programs) -> None:
    async def file() -> AsyncIterator[bytes]:
        yield b"\x00first"
        yield b"second"

    said = await WebClient(http).upload_package(PackageMetadata(name="ivi", version="2.1.0"), file(), 'i"v\r\ni.deb')
    call = programs.calls[0]
    boundary = call.headers["content-type"].partition("boundary=")[2].encode()
    assert isinstance(call.body, bytes)
    _, metadata, content, end = call.body.split(b"--" + boundary)
    assert said.message == "Package stored"
    assert msgspec.json.decode(metadata.partition(b"\r\n\r\n")[2])["name"] == "ivi"
    assert b'filename="ivi.deb"' in content
    assert content.partition(b"\r\n\r\n")[2] == b"\x00firstsecond\r\n"
    assert end == b"--\r\n"


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"title":"Bad Gateway"}', b"[]", b"\xff"])
def test_failure_that_no_program_of_ours_wrote_is_unavailable(content: bytes) -> None:
    with pytest.raises(Unavailable, match="502"):
        calling.check(502, content)


def test_next_page_is_read_from_the_link_header() -> None:
    link = link_to("/api/v1/vehicles", {"regex": "a,b;<c>", "cursor": make_cursor("/api/v1/vehicles", VIN)})
    assert calling.next_cursor(link) is not None
    assert calling.next_cursor({"link": '</x?cursor=abc>; rel="prev"'}) is None
    assert calling.next_cursor({}) is None


def test_row_that_is_no_call_over_http_has_no_address() -> None:
    ask: Callable[[], object] = lambda: calling.address(TABLE["WL-B7-2"], {})  # noqa: E731
    with pytest.raises(TypeError, match="WL-B7-2"):
        ask()
