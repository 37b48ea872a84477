"""The extensions of B7: Core's services as its node calls them, and the node's edge as Core calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import FinishDownload
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.kit.http.client import HttpClient
from tests.support.core import RunningCore
from tests.support.identities import IDENTITY
from tests.support.processes import free_ports
from tests.support.rvi import VIN, Identities, RecordingService, backend_settings, running, vehicle_settings
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeClient]:
    """A real backend node, by Core's own client."""
    folder = tmp_path_factory.mktemp("node")
    async with running(backend_settings(Identities(folder), folder / "data")) as (started, _):
        http = HttpClient(started.edge_url)
        yield NodeClient(http)
        await http.close()


@pytest.fixture(scope="module")
async def vehicle_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SotaClientEdge]:
    """A real vehicle's node, without a connection, by the SOTA Client's own client."""
    folder = tmp_path_factory.mktemp("vehicle")
    settings = vehicle_settings(Identities(folder), folder / "data", "tls://127.0.0.1:1")
    async with running(settings) as (started, _):
        http = HttpClient(started.edge_url)
        yield SotaClientEdge(http)
        await http.close()


@pytest.mark.whitelist("X-B7-1", "received")
async def test_acknowledgement_is_taken_and_committed(core: RunningCore) -> None:
    offer = await core.offer(blocks=20)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "")

    status, answer = await offer.vehicle.ack(offer.index, "1-3,5")

    assert (status, answer["result"]["status"]) == (200, 0)
    assert (await offer.update())["acknowledged"] == 4 * 1024


@pytest.mark.whitelist("X-B7-2", "received")
async def test_vehicle_is_told_that_its_report_arrived(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.report(offer.index, offer.package)
    told = await offer.vehicle.next_message("reported", offer.index)
    outcome = {"status": 200, "message": f"{offer.package} success"}
    assert told == {"download_index": offer.index, "identity": offer.identity, "outcome": outcome}


@pytest.mark.whitelist("X-B7-3", "registered")
@pytest.mark.whitelist("X-B7-4", "unregistered")
@pytest.mark.whitelist("X-B7-6", "listed")
async def test_core_registers_a_service_finds_it_and_takes_it_back(node: NodeClient) -> None:
    name = await node.register("packages", "http://127.0.0.1:1/rvi/secret/packages")
    assert name == "genivi.org/backend/sota/packages"
    assert name in await node.available_services()
    await node.unregister(name)
    assert name not in await node.available_services()


@pytest.mark.whitelist("X-B7-5", "queued")
async def test_message_to_an_absent_vehicle_is_queued_until_it_is_there(
    identities: Identities, service: RecordingService, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    async with running(backend_settings(identities, tmp_path / "backend", tls_port=port)) as (started, _):
        http = HttpClient(started.edge_url)
        finish = FinishDownload(download_index=1, identity=IDENTITY)
        await NodeClient(http).message(f"genivi.org/vin/{VIN}/sota/finish", finish)
        await http.close()
        async with running(vehicle_settings(identities, tmp_path / "vehicle", f"tls://127.0.0.1:{port}")) as (
            _,
            client,
        ):
            await client.register("/sota/finish", service.url("/finish"))

            (message,) = await service.wait_for(1)

    assert message["parameters"] == [msgspec.to_builtins(finish)]


@pytest.mark.whitelist("X-B7-7", "found")
async def test_node_tells_its_prefix(node: NodeClient) -> None:
    assert await node.prefix() == "genivi.org/backend/"


@pytest.mark.whitelist("X-B7-8", "received")
@pytest.mark.whitelist("X-B7-9", "received")
async def test_core_knows_which_vehicles_are_connected(core: RunningCore) -> None:
    vin = await core.add_vehicle()

    async def is_connected() -> bool:
        return bool((await core.web.send("GET", f"/vehicles/{vin}")).body["connected"])

    async def is_gone() -> bool:
        return not await is_connected()

    await core.edge.connect(vin)
    await until(is_connected, "Core knows that the vehicle is there")
    await core.edge.disconnect(vin)
    await until(is_gone, "Core knows that the vehicle is gone")


@pytest.mark.whitelist("X-B7-10", "received")
async def test_core_takes_what_a_vehicle_has_installed(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    packages = [{"name": "bash", "version": "5.2.15-2+b7"}]
    status, _ = await core.edge.say(vin, "packages", {"vin": vin, "packages": packages, "firmware": []})
    assert status == 200
    assert await core.installed(vin) == packages


@pytest.mark.whitelist("X-B7-11", "answered")
async def test_callback_answers_only_where_the_secret_is_right(core: RunningCore) -> None:
    content = {"jsonrpc": "2.0", "id": 7, "method": "services_available", "params": {"services": []}}
    status, answer = await core.edge.post("start", content)
    assert (status, answer["id"]) == (200, 7)
    refused = await core.stranger.client.request(
        "POST", "/rvi/guessed/start", body=b"{}", headers={"content-type": "application/json"}
    )
    assert refused.status == 404


@pytest.mark.whitelist("X-B9-4", "unregistered")
async def test_client_takes_a_service_back(vehicle_node: SotaClientEdge) -> None:
    service = await RecordingService().start()
    name = await vehicle_node.register("notify", service.url())
    assert name in await vehicle_node.available_services()
    await vehicle_node.unregister(name)
    assert name not in await vehicle_node.available_services()
    await service.stop()


@pytest.mark.whitelist("X-B9-7", "found")
async def test_client_finds_its_vin_in_the_nodes_prefix(vehicle_node: SotaClientEdge) -> None:
    assert await vehicle_node.vin() == VIN


@pytest.mark.whitelist("WL-B7-8", "failed")
async def test_vehicle_that_cannot_tell_its_packages_changes_nothing(core: RunningCore) -> None:
    vin = await core.add_vehicle(("ivi-base", "1.0.0"))
    outcome = {"status": 409, "message": "Get All Packages failed"}

    status, _ = await core.edge.say(vin, "packages", {"vin": vin, "packages": [], "firmware": [], "outcome": outcome})

    assert status == 200
    assert await core.installed(vin) == [{"name": "ivi-base", "version": "1.0.0"}]


@pytest.mark.whitelist("WL-B7-8", "listed")
async def test_firmware_and_changes_by_hand_are_kept_and_confirmed(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    package = {"name": "bash", "version": "5.2.15-2+b7"}
    change = {"package": package, "operation": "upgrade", "at": "2026-03-01T12:00:00Z"}
    firmware = [{"module": "TCU-5G.2", "version": "1.7", "changed_at": "2026-02-01T12:00:00Z"}]
    body = {"vin": vin, "packages": [package], "firmware": firmware, "changes": [change], "sequence": 3}
    for number in range(2):
        assert (await core.edge.say(vin, "packages", body))[0] == 200
        told = (await core.edge.expect(vin, "reported", after=number)).body
        assert told == {"sequence": 3, "outcome": {"status": 200, "message": "received"}}

    shown = (await core.web.send("GET", f"/vehicles/{vin}")).body

    assert (shown["packages"], shown["firmware"], shown["local_changes"]) == ([package], firmware, [change])
