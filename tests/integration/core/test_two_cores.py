"""Two Core processes on one database and one node: one is killed, and the other continues its transfers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.core import RunningCore, core_settings, running_core
from tests.support.processes import ProgramProcess, free_ports
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
BLOCKS = 30


@pytest.fixture
async def first(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[RunningCore]:
    """A Core in this process, which also serves as the one that lives on: it stands by."""
    async with running_core(fresh_database_url, tmp_path, instance="core-1", gone_after_s=1.5) as started:
        yield started


def another(core: RunningCore, database: str, folder: Path, name: str) -> ProgramProcess:
    """Make another Core on the same database and node, as a process."""
    port, operation = free_ports(2)
    settings = core_settings(database, folder)
    own = folder / name
    values = {
        "port": port,
        "operation_port": operation,
        "data": own,
        "database": database,
        "credentials_file": settings.credentials_file,
        "repository": settings.repository,
        "resolver_token_file": settings.resolver_token_file,
        "resolver_url": core.resolver.address,
        "node_url": core.edge.url,
        "instance": name,
        "gone_after_s": 1.5,
        "block_size": settings.block_size,
        "node_check_s": settings.node_check_s,
        "dispatch_interval_s": settings.dispatch_interval_s,
        "log_level": "debug",
    }
    arguments = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return ProgramProcess(name, ["core", *arguments], folder / f"{name}.log")


async def test_killed_core_is_followed_by_the_other_without_a_block_sent_twice(
    first: RunningCore, fresh_database_url: str, tmp_path: Path
) -> None:
    before = dict(first.edge.addresses)
    second = another(first, fresh_database_url, tmp_path, "core-2")
    second.start()
    try:

        async def is_called() -> bool:
            addresses = first.edge.addresses
            return all(addresses[name] != before[name] for name in before)

        await until(is_called, "the second Core registers itself", timeout_s=30, latest=second.tail)
        offer = await first.offer(blocks=BLOCKS)
        await offer.vehicle.initiate(offer.index)
        await offer.vehicle.next_message("start", offer.index)
        await offer.vehicle.ack(offer.index, "1-9,11")

        async def is_committed() -> bool:
            return int((await offer.update())["acknowledged"]) == 10 * 1024

        await until(is_committed, "the acknowledgement is committed", latest=second.tail)
        second.kill()
        sent_before = len(offer.vehicle.sent(offer.index))

        await offer.vehicle.next_message("start", offer.index, after=1)
        await offer.vehicle.receive(offer.index, BLOCKS - 10)
        await offer.vehicle.next_message("finish", offer.index)
        full = (200, f"Download of {offer.package} complete")
        await offer.vehicle.ack(offer.index, f"1-{BLOCKS}", full)
        await offer.vehicle.report(offer.index, offer.package)
    finally:
        await second.stop()
    assert dict(first.edge.addresses) == before
    assert not set(offer.vehicle.sent(offer.index)[sent_before:]) & {*range(1, 10), 11}
    assert (await offer.update())["status"] == "installed"


async def test_core_that_hears_nothing_does_not_fail_what_another_drives(first: RunningCore, tmp_path: Path) -> None:
    offer = await first.offer()
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await first.execute("UPDATE vehicle_update SET lease_owner = 'core-9'")
    engine = first.program.engine
    transfer = engine.active.find(offer.vehicle.vin, offer.index)
    assert transfer is not None
    transfer.step.number, transfer.step.at = 5, time.monotonic() - 60  # its last attempt, long ago
    await asyncio.sleep(1.5)
    assert (await offer.update())["status"] == "in_flight"
    assert offer.vehicle.vin not in engine.active
