"""Two nodes, a backend's and a vehicle's, and the programs beside them."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    Identities,
    RecordingService,
    backend_settings,
    running,
    vehicle_settings,
    wait_until,
)

LINKS = ("tls", "tls+json", "tcp")


def link(scheme: str) -> tuple[dict[str, int], str]:
    """Ports of a backend that listens so, and the address of it."""
    (port,) = free_ports(1)
    ports = {"tls_port": 0, "tcp_port": port} if scheme == "tcp" else {"tls_port": port}
    return ports, f"{scheme}://127.0.0.1:{port}"


async def test_both_sides_hear_of_services_that_come_and_go(
    identities: Identities, tmp_path: Path, service: RecordingService, other_service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (node, core):
        await core.register("/sota/start", service.url())
        async with running(vehicle_settings(identities, tmp_path / "v", f"tls://127.0.0.1:{settings.tls_port}")) as (
            _,
            client,
        ):
            notify = await client.register("/sota/notify", other_service.url())
            await wait_until(lambda: service.notices("services_available") == [notify])
            assert set(node.known_services()) == {f"{BACKEND}/start", notify}
            await core.register("/sota/cancel", service.url())
            await wait_until(lambda: f"{BACKEND}/cancel" in other_service.notices("services_available"))
            await client.register("/sota/start", other_service.url())
            await wait_until(lambda: f"{VEHICLE}/start" in service.notices("services_available"))
            await client.result("unregister_service", {"service": f"{VEHICLE}/start"})
            await wait_until(lambda: service.notices("services_unavailable") == [f"{VEHICLE}/start"])
        await wait_until(lambda: service.notices("services_unavailable") == [f"{VEHICLE}/start", notify])
        assert set(node.known_services()) == {f"{BACKEND}/start", f"{BACKEND}/cancel"}


async def test_messages_of_one_service_arrive_in_their_order(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    peer = f"tls://127.0.0.1:{settings.tls_port}"
    async with (
        running(settings) as (node, core),
        running(vehicle_settings(identities, tmp_path / "v", peer)) as (_, client),
    ):
        await client.register("/sota/chunk", service.url())
        # Some go to the disk before the link stands, some over the link: the order holds across both.
        for number in range(200):
            await core.send(f"{VEHICLE}/chunk", number)
        received = await service.wait_for(200)
        assert [message["parameters"] for message in received] == [[number] for number in range(200)]
        await wait_until(lambda: node.store.messages == 0, "the disk is empty again")


async def test_a_large_message_arrives_whole(identities: Identities, tmp_path: Path, service: RecordingService) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    peer = f"tls://127.0.0.1:{settings.tls_port}"
    async with (
        running(settings) as (_, core),
        running(vehicle_settings(identities, tmp_path / "v", peer)) as (_, client),
    ):
        await client.register("/sota/chunk", service.url())
        text = "x" * 3_000_000
        await core.send(f"{VEHICLE}/chunk", {"bytes": text})
        (received,) = await service.wait_for(1)
        assert received["parameters"] == [{"bytes": text}]


@pytest.mark.parametrize("scheme", LINKS)
async def test_a_message_in_pieces_arrives_whole_and_in_order(
    scheme: str, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    ports, address = link(scheme)
    async with (
        running(backend_settings(identities, tmp_path / "b", **ports)) as (node, core),
        running(vehicle_settings(identities, tmp_path / "v", address)) as (_, client),
    ):
        await client.register("/sota/chunk", service.url())
        await wait_until(lambda: f"{VEHICLE}/chunk" in node.known_services())
        bodies = [{"rvi.max_msg_size": 100, "text": "äöü€" * 200}, {"n": 2}, {"rvi.max_msg_size": 50, "n": 3}, {"n": 4}]
        for body in bodies:
            params = {"service_name": f"{VEHICLE}/chunk", "timeout": int(time.time()) + 60, "parameters": body}
            await core.result("message", params)
        received = await service.wait_for(4)
        assert [message["parameters"] for message in received] == bodies


async def test_the_link_comes_back_after_the_backend_was_away(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    peer = f"tls://127.0.0.1:{settings.tls_port}"
    async with running(vehicle_settings(identities, tmp_path / "v", peer)) as (vehicle, client):
        await client.register("/sota/notify", service.url())
        for number in range(2):
            async with running(settings) as (node, core):
                await wait_until(partial(node.routes.find, f"{VEHICLE}/notify"))
                await core.send(f"{VEHICLE}/notify", number)
                await service.wait_for(number + 1)
            await wait_until(lambda: not vehicle.is_connected)


async def test_the_newest_connection_of_a_vehicle_gets_its_messages(
    identities: Identities, tmp_path: Path, service: RecordingService, other_service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    peer = f"tls://127.0.0.1:{settings.tls_port}"
    async with (
        running(settings) as (node, core),
        running(vehicle_settings(identities, tmp_path / "v1", peer)) as (_, client),
    ):
        await client.register("/sota/notify", service.url())
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        async with running(vehicle_settings(identities, tmp_path / "v2", peer)) as (_, second):
            connection = node.routes.find(f"{VEHICLE}/notify")
            await second.register("/sota/notify", other_service.url())
            await wait_until(lambda: node.routes.find(f"{VEHICLE}/notify") is not connection)
            await core.send(f"{VEHICLE}/notify", "to the newest")
            await other_service.wait_for(1)
        await wait_until(lambda: node.routes.find(f"{VEHICLE}/notify") is connection)
        await core.send(f"{VEHICLE}/notify", "to the older")
        assert [message["parameters"] for message in await service.wait_for(1)] == [["to the older"]]


async def test_many_vehicles_at_once_each_get_their_own(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    vins = [f"WVW0000000000010{number}" for number in range(4)]
    settings = backend_settings(identities, tmp_path / "b")
    peer = f"tls://127.0.0.1:{settings.tls_port}"

    async def drive(vin: str, done: asyncio.Event) -> None:
        async with running(vehicle_settings(identities, tmp_path / vin, peer, vin)) as (_, client):
            await client.register("/sota/notify", service.url(f"/{vin}"))
            await wait_until(lambda: service.messages(f"/{vin}"))
            await done.wait()

    async with running(settings) as (_, core), asyncio.TaskGroup() as group:
        done = asyncio.Event()
        for vin in vins:
            group.create_task(drive(vin, done))
            await core.send(f"genivi.org/vin/{vin}/sota/notify", vin)
        await service.wait_for(len(vins))
        done.set()
    assert {call["parameters"][0] for call in service.messages()} == set(vins)
    assert all(service.messages(f"/{vin}")[0]["parameters"] == [vin] for vin in vins)


@pytest.mark.parametrize("scheme", LINKS)
async def test_message_of_thirty_megabytes_is_passed_on_as_a_real_node_does(
    scheme: str, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    ports, address = link(scheme)
    async with (
        running(backend_settings(identities, tmp_path / "b", **ports)) as (_, core),
        running(vehicle_settings(identities, tmp_path / "v", address)) as (node, client),
    ):
        await client.register("/sota/chunk", service.url())
        await core.register("/sota/ack", service.url("/ack"))
        await wait_until(lambda: f"{BACKEND}/ack" in node.known_services())
        large = "x" * 30_000_000
        await core.send(f"{VEHICLE}/chunk", large)
        await wait_until(service.messages, "the large message arrives", 20.0)
        assert [message["parameters"] for message in service.messages()] == [[large]]
        await client.send(f"{BACKEND}/ack", "still there")
        await wait_until(lambda: service.messages("/ack"))
