"""A vehicle cancels its update: at every stage it ends, the vehicle is notified, and the next one can begin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.core import Offer, RunningCore, running_core

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    folder: Path = tmp_path_factory.mktemp("core")
    async with running_core(f"sqlite:///{folder / 'core.db'}", folder) as started:
        yield started


async def notified(offer: Offer) -> None:
    assert (await offer.update())["stage"] == "notified"


async def accepted(offer: Offer) -> None:
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    assert (await offer.update())["stage"] == "accepted"


async def transferring(offer: Offer) -> None:
    await accepted(offer)
    await offer.vehicle.ack(offer.index, "1")
    await offer.vehicle.next_message("chunk", offer.index)
    assert (await offer.update())["stage"] == "transferring"


async def finishing(offer: Offer) -> None:
    await accepted(offer)
    await offer.vehicle.receive(offer.index, 3)
    await offer.vehicle.next_message("finish", offer.index)


async def transferred(offer: Offer) -> None:
    await offer.vehicle.download(offer.index, offer.package)
    assert (await offer.update())["stage"] == "transferred"


@pytest.mark.parametrize("reach", [notified, accepted, transferring, finishing, transferred])
async def test_vehicle_may_cancel_at_every_stage(core: RunningCore, reach: Callable[[Offer], Awaitable[None]]) -> None:
    offer = await core.offer()
    await reach(offer)
    vin = offer.vehicle.vin

    status, _ = await core.edge.say(vin, "cancel", offer.vehicle.named(offer.index))

    assert status == 200
    assert (await offer.vehicle.next_message("abort", offer.index))["reason"] == "aborted"
    update = await offer.update()
    assert (update["status"], update["reason"], update["ended_by"]) == ("cancelled", "aborted", "vehicle")
    sent = offer.vehicle.sent(offer.index)
    await offer.vehicle.ack(offer.index, "1-3")
    assert offer.vehicle.sent(offer.index) == sent
    await core.queue(offer.package.partition("/")[0], "2.1.0")
    await core.edge.expect(vin, "notify", after=1)


async def test_what_is_installed_cannot_be_cancelled_any_more(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)
    vin = offer.vehicle.vin
    await core.edge.say(vin, "cancel", offer.vehicle.named(offer.index))
    assert (await offer.update())["status"] == "installed"
