"""B2: the states of an install request, from its queueing to its end, and a request that chooses no vehicle."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import RunningCore, queue_request
from tests.support.names import new_name, new_vin
from tests.support.provisioning import built, provision

pytestmark = pytest.mark.anyio


async def status_of(core: RunningCore, request_id: str) -> str:
    """Return a request's status, which the list that asks for it must agree with."""
    shown: dict[str, Any] = (await core.web.send("GET", f"/install-requests/{request_id}")).body
    name, version = shown["package"]["name"], shown["package"]["version"]
    found = []
    for status in ("scheduled", "running", "paused", "completed", "failed", "stopped", "cancelled"):
        query = {"package": f"{name}/{version}", "status": status}
        listed = await core.web.send("GET", "/install-requests", query=query)
        found += [status for one in listed.body if one["install_request_id"] == request_id]
    assert found == [shown["status"]]
    return str(shown["status"])


async def act(core: RunningCore, request_id: str, what: str) -> None:
    assert (await core.web.send("POST", f"/install-requests/{request_id}/{what}")).status == 200


async def test_request_is_scheduled_then_running_then_completed(core: RunningCore) -> None:
    _, name = await core.add_target()
    later = await core.queue(name, "2.1.0", start_s=1800)
    assert await status_of(core, later) == "scheduled"

    offer = await core.offer()
    assert await status_of(core, offer.request_id) == "running"
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)
    assert await status_of(core, offer.request_id) == "completed"


async def test_request_of_which_every_update_failed_is_failed(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.report(offer.index, offer.package, "failed", reason="install_failed")
    assert await status_of(core, offer.request_id) == "failed"
    await act(core, offer.request_id, "retry-failed")
    assert await status_of(core, offer.request_id) == "running"


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), ("stop", "stopped")])
async def test_request_says_how_an_operator_ended_it_until_it_is_tried_again(
    core: RunningCore, action: str, status: str
) -> None:
    _, name = await core.add_target()
    request_id = await core.queue(name, "2.1.0")
    await act(core, request_id, action)
    assert await status_of(core, request_id) == status
    await act(core, request_id, "retry-failed")
    assert await status_of(core, request_id) == "running"


async def test_cancelling_what_is_over_changes_nothing(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)
    await act(core, offer.request_id, "cancel")
    assert await status_of(core, offer.request_id) == "completed"


@pytest.mark.parametrize("path", ["/install-requests", "/install-requests/batch", "/campaigns"])
async def test_request_that_chooses_no_vehicle_is_answered_with_its_id_and_a_warning(
    core: RunningCore, path: str
) -> None:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", expression="FALSE")
    request = queue_request(name, "2.1.0")
    body = {
        "/install-requests": request,
        "/install-requests/batch": [request],
        "/campaigns": {"package": request["package"], "priority": 10, **request["interval"]},
    }[path]

    answer = await core.web.send("POST", path, body)

    assert (answer.status, answer.body["vehicles"]) == (200, 0)
    assert "No vehicle was chosen" in answer.body["warning"]
    assert await status_of(core, answer.body["install_request_id"]) == "failed"


async def test_vehicle_has_one_version_of_a_package(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    two = [{"name": "ivi", "version": version} for version in ("1.0.0", "2.0.0")]
    answer = await core.web.send("PUT", f"/vehicles/{vin}/packages", two)
    assert (answer.status, "ivi" in answer.body["detail"]) == (400, True)
    assert await core.installed(vin) == []


async def test_provisioned_line_with_a_package_in_two_versions_is_refused(core: RunningCore) -> None:
    wrong, right = new_vin(), new_vin()
    lines = [built(wrong, ("ivi", "1.0.0"), ("ivi", "2.0.0")), built(right, ("ivi", "1.0.0"), ("maps", "1.0.0"))]
    answer = await provision(core.logistics, lines)
    statuses = {result["line"]: result["status"] for result in answer.body}
    assert statuses == {1: "refused", 2: "inserted"}
