"""B7, what names another download or another life of a vehicle: nothing is recorded, and the vehicle is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sota.core.vehicles.epoch_store import renew_epochs
from tests.support.core import Offer, RunningCore, running_core
from tests.support.edge import UNKNOWN, VehiclePlayer
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
OTHER_EPOCH = "0123456789abcdef"


def other_hash(offer: Offer) -> dict[str, Any]:
    return {"identity": {**offer.identity, "sha256": "f" * 64}}


def other_package(offer: Offer) -> dict[str, Any]:
    return {"identity": {**offer.identity, "package": {"name": "another", "version": "9.9.9"}}}


def other_update(_offer: Offer) -> dict[str, Any]:
    return {"identity": UNKNOWN}


def other_epoch(_offer: Offer) -> dict[str, Any]:
    return {"epoch": OTHER_EPOCH}


OTHERS = (other_hash, other_package, other_update, other_epoch)


@pytest.mark.whitelist("WL-B7-7", "other_download")
@pytest.mark.whitelist("X-B7-2", "received")
@pytest.mark.parametrize("change", OTHERS)
async def test_report_counts_only_for_the_download_that_it_names(core: RunningCore, change: Any) -> None:
    offer = await core.offer(("ivi-base", "1.0.0"))
    vehicle = offer.vehicle
    await vehicle.download(offer.index, offer.package)

    status, answer = await vehicle.report(offer.index, offer.package, **{"identity": offer.identity, **change(offer)})

    assert (status, answer["error"]["data"]["code"]) == (409, "other_download")
    assert (await offer.update())["status"] == "in_flight"
    assert await core.installed(vehicle.vin) == [{"name": "ivi-base", "version": "1.0.0"}]
    await core.edge.expect(vehicle.vin, "getpackages")
    ended = (await core.edge.expect(vehicle.vin, "reported")).body
    assert ended["outcome"]["status"] == 409, "the vehicle may stop sending it"


@pytest.mark.whitelist("WL-B7-3", "other_download")
@pytest.mark.parametrize("change", OTHERS)
async def test_download_is_begun_and_cancelled_only_by_its_own_name(core: RunningCore, change: Any) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle

    asked, _ = await vehicle.initiate(offer.index, **change(offer))
    cancelled, _ = await core.edge.say(vehicle.vin, "cancel", vehicle.named(offer.index, **change(offer)))

    assert (asked, cancelled) == (409, 409)
    assert (await offer.update())["status"] == "in_flight"
    assert core.edge.to(vehicle.vin, "start") == []
    await core.edge.expect(vehicle.vin, "getpackages")
    dropped = (await core.edge.expect(vehicle.vin, "abort")).body
    assert dropped["identity"] == {"identity": offer.identity, **change(offer)}["identity"]


@pytest.mark.whitelist("X-B7-1", "other_download")
@pytest.mark.parametrize("change", OTHERS)
async def test_acknowledgement_counts_only_for_the_download_that_it_names(core: RunningCore, change: Any) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle
    await vehicle.initiate(offer.index)
    await vehicle.next_message("start", offer.index)

    status, _ = await vehicle.ack(offer.index, "1-3", **change(offer))

    assert status == 409
    update = await offer.update()
    assert (update["stage"], update["acknowledged"]) == ("accepted", 0)
    assert vehicle.sent(offer.index) == []


@pytest.mark.whitelist("X-B7-13", "received")
@pytest.mark.whitelist("X-B7-13", "other_download")
async def test_stage_of_an_installation_is_shown_while_it_lasts(core: RunningCore) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle
    await vehicle.download(offer.index, offer.package)
    shown = [(await offer.update())["stage"]]

    for stage in ("installing", "booting", "verifying"):
        assert (await vehicle.stage(offer.index, stage))[0] == 200
        shown.append((await offer.update())["stage"])
    refused, _ = await vehicle.stage(offer.index, "installing", epoch=OTHER_EPOCH)
    wrong, _ = await vehicle.stage(offer.index, "transferring")

    assert shown == ["transferred", "installing", "booting", "verifying"]
    assert (refused, wrong) == (409, 400)
    assert (await offer.update())["stage"] == "verifying"


@pytest.mark.whitelist("X-B7-12", "received")
async def test_vehicle_that_remembers_what_core_knows_is_asked_nothing(core: RunningCore) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle
    await vehicle.initiate(offer.index)

    status, _ = await vehicle.greet(offer.notified["epoch"], offer.index)

    assert status == 200
    assert core.edge.to(vehicle.vin, "getpackages") == []


@pytest.mark.whitelist("X-B7-12", "received")
@pytest.mark.whitelist("X-B7-14", "received")
async def test_vehicle_of_another_life_learns_its_epoch_and_tells_its_packages(core: RunningCore) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle

    await vehicle.greet(OTHER_EPOCH, 70)

    await welcomed(core, vehicle.vin, offer.notified["epoch"])
    await core.edge.expect(vehicle.vin, "getpackages")
    again = (await core.edge.expect(vehicle.vin, "notify", after=1)).body
    assert again["update_id"] == offer.notified["update_id"]
    assert await next_index(core, vehicle.vin, after=2) == 71, "above the highest that either side knows"


@pytest.mark.whitelist("X-B7-12", "received")
@pytest.mark.parametrize("how", ["higher index", "unknown update"])
async def test_database_that_lost_its_last_commits_begins_another_life(core: RunningCore, how: str) -> None:
    offer = await core.offer()
    vehicle, epoch = offer.vehicle, offer.notified["epoch"]

    if how == "higher index":
        await vehicle.greet(epoch, 70)
    else:
        await vehicle.report(70, "unknown/0.0.1", identity=UNKNOWN, epoch=epoch)

    again = (await core.edge.expect(vehicle.vin, "notify", after=1)).body
    assert again["epoch"] != epoch
    await welcomed(core, vehicle.vin, again["epoch"])
    await core.edge.expect(vehicle.vin, "getpackages")
    status, _ = await vehicle.report(offer.index, offer.package, epoch=epoch)
    assert status == 409, "what was said in the life before counts no more"
    assert await next_index(core, vehicle.vin, after=2) == 71


@pytest.mark.whitelist("X-B7-12", "received")
async def test_vehicle_whose_first_report_comes_late_and_twice_is_sent_its_blocks(
    fresh_database_url: str, tmp_path: Path
) -> None:
    async with running_core(fresh_database_url, tmp_path, notify_retry_s=8.0) as core:
        offer = await core.offer()
        vehicle = offer.vehicle
        await vehicle.initiate(offer.index)
        await vehicle.greet(None, 0)
        await core.edge.expect(vehicle.vin, "notify", after=1)
        await vehicle.ack(offer.index, "")

        await vehicle.greet(None, 0)

        async def is_notified() -> bool:
            return len(core.edge.to(vehicle.vin, "notify")) > 2

        await until(is_notified, "Core notifies again before the next try is due", timeout_s=6.0)


@pytest.mark.whitelist("X-B7-12", "received")
async def test_folder_from_an_older_copy_makes_core_tell_and_ask_again(core: RunningCore) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle
    await vehicle.download(offer.index, offer.package)

    await vehicle.greet(offer.notified["epoch"], offer.index - 1)

    await core.edge.expect(vehicle.vin, "getpackages")
    again = (await core.edge.expect(vehicle.vin, "notify", after=1)).body
    assert (again["update_id"], again["epoch"]) == (offer.notified["update_id"], offer.notified["epoch"])


async def test_restored_core_refuses_what_was_said_before_and_goes_on_under_new_epochs(core: RunningCore) -> None:
    offer = await core.offer()
    vehicle, epoch = offer.vehicle, offer.notified["epoch"]
    await core.db.transact(renew_epochs)

    refused, _ = await vehicle.report(offer.index, offer.package)
    again = (await core.edge.expect(vehicle.vin, "notify", after=1)).body

    assert refused == 409
    assert again["epoch"] != epoch
    await vehicle.download(offer.index, offer.package)
    assert (await vehicle.report(offer.index, offer.package))[0] == 200
    assert (await offer.update())["status"] == "installed"


async def welcomed(core: RunningCore, vin: str, epoch: str) -> None:
    """Wait until Core has sent the vehicle its epoch."""

    async def look() -> bool:
        return {"epoch": epoch} in [one.body for one in core.edge.to(vin, "welcome")]

    await until(look, f"{vin} hears its epoch")


async def next_index(core: RunningCore, vin: str, *, after: int) -> int:
    """Have the vehicle's update ended, queue another one, and return the index of its download."""
    notified = core.edge.to(vin, "notify")[-1].body
    player = Offer(core, VehiclePlayer(core.edge, vin), "", b"", "", notified)
    await core.edge.say(vin, "cancel", player.vehicle.named(player.index))
    name = f"next-{vin[-4:].lower()}-{after}"
    await core.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
    await core.queue(name, "2.1.0")

    async def look() -> int | None:
        found = [one.body for one in core.edge.to(vin, "notify") if one.body["downloads"][0]["package"]["name"] == name]
        return int(found[0]["downloads"][0]["download_index"]) if found else None

    return await until(look, f"{name} is offered")
