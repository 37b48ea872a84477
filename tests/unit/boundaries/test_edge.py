"""Calls to a node's edge, against a listener that answers as an observed node did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import Block, EncodedBlock, FinishDownload, InitiateDownload, UpdateAvailable
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import AnyCall, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.interaction import Boundary, Http, Program, answers
from sota.kit.errors import Refused, Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.http.listener import HttpListener
from tests.support.identities import EPOCH, IDENTITY, NAMED

pytestmark = pytest.mark.anyio

VIN = "WVW00000000000001"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
EDGE = Boundary("T2", Program.SOTA_CORE, Program.RVI_NODE_SERVER).row(
    "WL-T2-1", "Edge", Http("POST", "/", max_body=None), answers("answered", "JSON-RPC")
)


class StillClock:
    def now(self) -> datetime:
        return NOW


class Node:
    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answer: bytes = b'{"jsonrpc":"2.0","id":1,"result":{"status":0,"transaction_id":1,"method":"message"}}'
        self.status = 200

    @serves("WL-T2-1")
    async def edge(self, call: AnyCall) -> Reply:
        self.got.append(msgspec.json.decode(await call.read(1 << 22)))
        assert call.headers["content-type"] == "application/json"
        return Reply("answered", raw=self.answer, status=self.status)

    def says(self, **result: Any) -> None:
        self.answer = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": result})


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
async def http(node: Node) -> AsyncIterator[HttpClient]:
    app = App("node", [EDGE])
    app.add(node)
    listener = HttpListener(app, "127.0.0.1", 0)
    await listener.start()
    client = HttpClient(f"http://127.0.0.1:{listener.port}")
    yield client
    await client.close()
    await listener.stop()


@pytest.fixture
def core(http: HttpClient) -> NodeClient:
    return NodeClient(http, StillClock())


async def test_message_is_as_a_real_node_takes_it(core: NodeClient, node: Node) -> None:
    await core.finish(VIN, FinishDownload(download_index=4, identity=IDENTITY))
    assert node.got == [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "message",
            "params": {
                "service_name": f"genivi.org/vin/{VIN}/sota/finish",
                "timeout": int(NOW.timestamp()) + 300,
                "parameters": [{"download_index": 4, "identity": NAMED}],
            },
        }
    ]


async def test_notification_waits_at_the_node_until_the_update_ends(core: NodeClient, node: Node) -> None:
    update = UpdateAvailable(
        update_id="0190c5a0-7b1c-7000-8000-000000000001",
        epoch=EPOCH,
        downloads=[],
        description="",
        request_confirmation=False,
    )
    await core.notify(VIN, update, expires_at=1_800_000_000)
    params = node.got[0]["params"]
    assert params["timeout"] == 1_800_000_000
    assert params["parameters"][0]["request_confirmation"] is False
    assert params["parameters"][0]["epoch"] == EPOCH


async def test_block_is_base64(core: NodeClient, node: Node) -> None:
    await core.send_block(VIN, EncodedBlock.of(Block(download_index=1, identity=IDENTITY, index=2, content=b"hallo")))
    block = {"download_index": 1, "identity": NAMED, "index": 2, "bytes": "aGFsbG8="}
    assert node.got[0]["params"]["parameters"] == [block]


async def test_message_without_content_is_null(core: NodeClient, node: Node) -> None:
    await core.get_packages(VIN)
    assert node.got[0]["params"]["parameters"] == [None]


async def test_service_is_registered_by_its_local_name(core: NodeClient, node: Node) -> None:
    node.says(status=0, service="genivi.org/backend/sota/start", method="register_service")
    assert await core.register("start", "http://127.0.0.1:8081/rvi/s/start") == "genivi.org/backend/sota/start"
    assert node.got[0]["params"] == {"service": "/sota/start", "network_address": "http://127.0.0.1:8081/rvi/s/start"}


async def test_services_that_the_node_knows_are_listed(core: NodeClient, node: Node) -> None:
    node.says(status=0, services=["genivi.org/vin/X/sota/notify"], method="get_available_services")
    assert await core.available_services() == ["genivi.org/vin/X/sota/notify"]


async def test_schedule_gives_the_vins(core: NodeClient, node: Node) -> None:
    node.says(status=0, vins=[VIN], method="schedule_update")
    assert await core.schedule([]) == [VIN]
    assert node.got[0]["params"] == []


async def test_scheduling_failure_keeps_its_status_and_text(core: NodeClient, node: Node) -> None:
    node.status = 412
    node.answer = (
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32100,"message":"Task scheduling failed",'
        b'"data":{"code":"scheduling_failed"}}}'
    )
    with pytest.raises(Refused) as refused:
        await core.schedule([])
    assert (refused.value.code, refused.value.status) == ("scheduling_failed", 412)
    assert refused.value.title == "Task scheduling failed"


async def test_method_that_a_real_node_does_not_know_is_told(core: NodeClient, node: Node) -> None:
    node.says(status=1)
    with pytest.raises(Refused) as refused:
        await core.schedule([])
    assert refused.value.code == "method_unknown"


async def test_refusal_of_a_real_node_is_told(core: NodeClient, node: Node) -> None:
    node.answer = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"json error"}}'
    with pytest.raises(Refused, match="message: json error"):
        await core.finish(VIN, FinishDownload(download_index=1, identity=IDENTITY))


@pytest.mark.parametrize("content", [b"", b"Object not found. Try using POST method.", b"{}", b"[]", b"\xff"])
async def test_answer_that_is_no_json_rpc_is_unavailable(core: NodeClient, node: Node, content: bytes) -> None:
    node.answer = content
    with pytest.raises(Unavailable):
        await core.available_services()


async def test_client_learns_its_vin_from_its_node(http: HttpClient, node: Node) -> None:
    node.says(status=0, node_service_prefix=f"genivi.org/vin/{VIN}/", method="get_node_service_prefix")
    assert await SotaClientEdge(http).vin() == VIN


async def test_client_asks_core_by_its_standard_name(http: HttpClient, node: Node) -> None:
    wanted = InitiateDownload(vin=VIN, download_index=1, identity=IDENTITY, epoch=EPOCH)
    await SotaClientEdge(http).initiate_download(wanted)
    assert node.got[0]["params"]["service_name"] == "genivi.org/backend/sota/start"
