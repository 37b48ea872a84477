"""Who ends an update, and what its vehicle alone can end: an installation that has begun."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Offer, RunningCore

pytestmark = pytest.mark.anyio


async def stop(core: RunningCore, offer: Offer) -> dict[str, Any]:
    answer = await core.web.send("POST", f"/install-requests/{offer.request_id}/stop")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.body
    return body


@pytest.mark.parametrize("stage", ["installing", "booting", "verifying"])
async def test_stop_leaves_what_is_being_installed_and_says_so(core: RunningCore, stage: str) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.stage(offer.index, stage)

    answer = await stop(core, offer)

    assert (answer["changed"], answer["installing"], answer["counts"]["in_flight"]) == (0, 1, 1)
    assert core.edge.to(offer.vehicle.vin, "abort") == []
    assert (await offer.vehicle.report(offer.index, offer.package))[0] == 200
    update = await offer.update()
    assert (update["status"], update["ended_by"]) == ("installed", "vehicle")


async def test_stop_that_crossed_the_installation_gives_way_to_the_vehicles_word(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)

    assert (await stop(core, offer))["changed"] == 1
    stopped = await offer.update()
    status, _ = await offer.vehicle.report(offer.index, offer.package)

    assert (stopped["status"], stopped["reason"], stopped["ended_by"]) == ("cancelled", "cancelled", "operator")
    assert status == 200
    update = await offer.update()
    assert (update["status"], update.get("reason")) == ("installed", None)
    assert [one["version"] for one in await core.installed(offer.vehicle.vin)] == ["2.1.0"]


async def test_installation_that_fails_after_a_stop_is_shown_as_failed(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)
    await stop(core, offer)

    await offer.vehicle.report(offer.index, offer.package, "failed", reason="rolled_back")

    update = await offer.update()
    assert (update["status"], update["reason"], update["ended_by"]) == ("failed", "rolled_back", "vehicle")


async def test_what_the_vehicle_dropped_after_a_stop_stays_the_operators_end(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)
    await stop(core, offer)

    status, _ = await offer.vehicle.report(offer.index, offer.package, "cancelled", reason="aborted")

    assert status == 409
    update = await offer.update()
    assert (update["status"], update["reason"], update["ended_by"]) == ("cancelled", "cancelled", "operator")


@pytest.mark.parametrize(
    ("says", "reason", "by"),
    [("declined", "declined", "driver"), ("aborted", "aborted", "vehicle"), ("cancelled", "aborted", "vehicle")],
)
async def test_cancel_by_the_vehicle_says_who_and_is_no_operators_stop(
    core: RunningCore, says: str, reason: str, by: str
) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle

    await core.edge.say(vehicle.vin, "cancel", vehicle.named(offer.index, reason=says))

    update = await offer.update()
    assert (update["status"], update["reason"], update["ended_by"]) == ("cancelled", reason, by)
    assert update["completed_at"]


async def test_vehicle_cannot_cancel_what_its_installer_has_begun(core: RunningCore) -> None:
    offer = await core.offer()
    vehicle = offer.vehicle
    await vehicle.download(offer.index, offer.package)
    await vehicle.stage(offer.index, "installing")

    status, _ = await core.edge.say(vehicle.vin, "cancel", vehicle.named(offer.index))

    assert status == 409
    assert (await offer.update())["stage"] == "installing"


async def test_interval_that_ends_during_an_installation_waits_for_the_vehicle(core: RunningCore) -> None:
    offer = await core.offer(end_s=3)
    other = await core.offer(end_s=3)
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.stage(offer.index, "booting")

    assert (await other.wait_for("failed"))["reason"] == "expired"

    assert (await offer.update())["stage"] == "booting"
    assert (await offer.vehicle.report(offer.index, offer.package))[0] == 200
    assert (await offer.update())["status"] == "installed"


async def test_vehicle_cannot_redirect_cores_messages_to_another_vehicle(core: RunningCore) -> None:
    offer, victim = await core.offer(), await core.offer()
    names = {name: f"genivi.org/vin/{victim.vehicle.vin}/sota/{name}" for name in ("start", "chunk", "abort", "finish")}

    await core.edge.say(
        offer.vehicle.vin, "start", offer.vehicle.named(offer.index, services={**names, "getpackages": names["start"]})
    )

    await offer.vehicle.next_message("start", offer.index)
    assert core.edge.to(victim.vehicle.vin, "start") == []
