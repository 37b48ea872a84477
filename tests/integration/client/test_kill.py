"""The SOTA Client killed in the middle of its work: what it acknowledged it still has, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.kit.ranges import Ranges
from tests.support import debs
from tests.support.processes import ProgramProcess
from tests.support.vehicle import Offer, PlayedCore, Vehicle, notify, vehicle_on_disk
from tests.support.vehicle_processes import as_process

BLOCKS = 32


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with vehicle_on_disk(tmp_path) as prepared:
        await prepared.start_slm()
        yield prepared


@pytest.fixture
async def client(vehicle: Vehicle) -> AsyncIterator[ProgramProcess]:
    process = as_process("client", vehicle.client_settings, vehicle.folder)
    process.start()
    await vehicle.node.ready()
    yield process
    await process.stop()


@pytest.fixture
def ivi(vehicle: Vehicle, tmp_path: Path) -> Offer:
    file = debs.build(
        tmp_path, "ivi", "1.0.0", payload_bytes=(BLOCKS - 1) * 65_536, postinst='echo x >> "$DPKG_ROOT/count"'
    )
    return vehicle.offer(1, "ivi", "1.0.0", file)


async def again(vehicle: Vehicle, client: ProgramProcess) -> None:
    """Kill the client and start it again."""
    client.kill()
    vehicle.node.addresses.clear()
    client.start()
    await vehicle.node.ready()


async def test_no_block_that_was_acknowledged_is_lost(vehicle: Vehicle, client: ProgramProcess, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.heard("start")
    await vehicle.node.tell("start", ivi.start())
    acknowledged = Ranges()
    for number in range(1, BLOCKS + 1):
        if number % 8 == 0:
            await again(vehicle, client)
            vehicle.node.drain()
            await vehicle.node.tell("start", ivi.start())
            found = Ranges.parse((await vehicle.node.heard("ack"))["received"])
            assert list(acknowledged.missing(number - 1)) == []
            assert list(found.missing(number - 1)) == []
        await vehicle.node.tell("chunk", ivi.block(number))
        while number not in acknowledged:
            acknowledged = Ranges.parse((await vehicle.node.heard("ack"))["received"])

    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.tell("finish", ivi.named)
    await core.run_until_reported(1)

    assert core.reports[1]["status"] == "installed"
    assert core.blocks_sent == []


async def test_killed_while_blocks_pour_in_it_tells_the_truth(
    vehicle: Vehicle, client: ProgramProcess, ivi: Offer
) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.heard("start")
    await vehicle.node.tell("start", ivi.start())
    vehicle.node.drain()
    pouring = [asyncio.create_task(vehicle.node.tell("chunk", ivi.block(number))) for number in range(1, BLOCKS + 1)]
    told = Ranges()
    while len(told) < 3:
        told = Ranges.parse((await vehicle.node.heard("ack"))["received"])
    client.kill()
    await asyncio.gather(*pouring, return_exceptions=True)
    for service, body in vehicle.node.seen:
        if service == "ack":
            told = Ranges.parse(body["received"])
    vehicle.node.addresses.clear()
    client.start()
    await vehicle.node.ready()
    vehicle.node.drain()

    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.tell("start", ivi.start())
    await core.run_until_reported(1)

    assert core.reports[1]["status"] == "installed"  # so the SHA-256 held
    assert all(number not in told for _, number in core.blocks_sent)


async def test_killed_after_every_step_it_installs_once_and_reports(
    vehicle: Vehicle, client: ProgramProcess, ivi: Offer
) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await again(vehicle, client)
    await vehicle.node.heard("start")
    await again(vehicle, client)
    await vehicle.node.tell("start", ivi.start())
    await again(vehicle, client)
    for number in range(1, BLOCKS + 1):
        await vehicle.node.tell("chunk", ivi.block(number))
    while (await vehicle.node.heard("ack"))["received"] != f"1-{BLOCKS}":  # only an acknowledged block is durable
        pass
    await again(vehicle, client)
    await vehicle.node.tell("finish", ivi.named)
    await again(vehicle, client)
    vehicle.node.drain()

    report = await vehicle.node.heard("report", timeout_s=30.0)
    await again(vehicle, client)
    vehicle.node.drain()

    assert await vehicle.node.heard("report") == report
    assert report["status"] == "installed"
    assert (vehicle.root / "count").read_text() == "x\n"
    assert not list((vehicle.client_settings.data / "blocks").iterdir())
