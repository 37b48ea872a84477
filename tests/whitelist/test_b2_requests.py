"""B2, Web Server to SOTA Core: requests to install. Every outcome, against the real Core and a real Resolver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.answer import Answer
from tests.support.core import RunningCore, queue_request
from tests.support.names import new_name

pytestmark = pytest.mark.anyio


def campaign(package: str, version: str, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    interval = {"start": now.isoformat(), "end": (now + timedelta(hours=1)).isoformat()}
    return {"package": {"name": package, "version": version}, "priority": 10, **interval, **changes}


def refused(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, answer.body["title"]


@pytest.mark.whitelist("WL-B2-3", "campaign_created")
async def test_campaign_is_created_and_queued(core: RunningCore) -> None:
    vin, name = await core.add_target()
    answer = await core.web.send("POST", "/campaigns", campaign(name, "2.1.0", name="Spring"))
    assert (answer.status, answer.body["message"]) == (200, "Campaign created")
    request = await core.web.send("GET", f"/install-requests/{answer.body['install_request_id']}")
    assert (request.body["name"], request.body["counts"]["pending"]) == ("Spring", 1)
    assert (await core.update_of(answer.body["install_request_id"]))["vin"] == vin


@pytest.mark.whitelist("WL-B2-3", "package_unknown")
async def test_campaign_of_an_unknown_package_is_refused(core: RunningCore) -> None:
    answer = await core.web.send("POST", "/campaigns", campaign("nowhere", "2.1.0"))
    assert refused(answer) == (404, "Unknown Package ID")
    assert answer.body["code"] == "package_unknown"


@pytest.mark.whitelist("WL-B2-3", "filters_missing")
async def test_campaign_of_a_package_without_filters_is_refused(core: RunningCore) -> None:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0")
    answer = await core.web.send("POST", "/campaigns", campaign(name, "2.1.0"))
    assert refused(answer) == (404, "No filters associated with package")


async def test_campaign_that_ends_before_it_starts_is_malformed(core: RunningCore) -> None:
    body = campaign("ivi", "2.1.0", end=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert (await core.web.send("POST", "/campaigns", body)).status == 400


@pytest.mark.whitelist("WL-B2-4", "queued")
async def test_package_is_queued_for_the_vehicles_of_its_filters(core: RunningCore) -> None:
    vin, name = await core.add_target()
    answer = await core.web.send("POST", "/install-requests", queue_request(name, "2.1.0"))
    assert (answer.status, list(answer.body)) == (200, ["install_request_id"])
    update = await core.update_of(answer.body["install_request_id"])
    assert (update["vin"], update["status"]) == (vin, "pending")


@pytest.mark.whitelist("WL-B2-4", "package_missing")
async def test_package_that_is_not_registered_cannot_be_queued(core: RunningCore) -> None:
    answer = await core.web.send("POST", "/install-requests", queue_request("nowhere", "2.1.0"))
    assert refused(answer) == (404, "Package ID does not exist")
    assert answer.body["code"] == "package_missing"


@pytest.mark.whitelist("WL-B2-4", "filters_missing")
async def test_package_without_filters_cannot_be_queued(core: RunningCore) -> None:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0")
    answer = await core.web.send("POST", "/install-requests", queue_request(name, "2.1.0"))
    assert refused(answer) == (404, "No filters associated with package")
    assert answer.body["code"] == "filters_missing"


@pytest.mark.parametrize("changes", [{"priority": 0}, {"priority": 101}, {"end_s": -120}, {"command": "destroy"}])
async def test_request_out_of_range_is_malformed(core: RunningCore, changes: dict[str, Any]) -> None:
    body = queue_request("ivi", "2.1.0", **{key: value for key, value in changes.items() if key == "end_s"})
    body |= {key: value for key, value in changes.items() if key != "end_s"}
    assert (await core.web.send("POST", "/install-requests", body)).status == 400


@pytest.mark.whitelist("WL-B2-5", "queued")
async def test_list_of_packages_is_queued_under_one_id(core: RunningCore) -> None:
    (first_vin, first), (second_vin, second) = await core.add_target(), await core.add_target()
    body = [queue_request(first, "2.1.0"), queue_request(second, "2.1.0", priority=20)]
    answer = await core.web.send("POST", "/install-requests/batch", body)
    assert (answer.status, list(answer.body)) == (200, ["install_request_id"])
    updates = await core.web.send("GET", f"/install-requests/{answer.body['install_request_id']}/vehicles")
    assert {update["vin"] for update in updates.body} == {first_vin, second_vin}


@pytest.mark.whitelist("WL-B2-5", "package_missing")
async def test_list_with_a_package_that_is_not_registered_queues_nothing(core: RunningCore) -> None:
    vin, name = await core.add_target()
    body = [queue_request(name, "2.1.0"), queue_request("nowhere", "2.1.0")]
    answer = await core.web.send("POST", "/install-requests/batch", body)
    assert refused(answer) == (404, "Package ID does not exist")
    assert (await core.web.send("GET", "/install-requests", query={"vin": vin})).body == []


@pytest.mark.whitelist("WL-B2-5", "filters_missing")
async def test_list_with_a_package_without_filters_queues_nothing(core: RunningCore) -> None:
    vin, name = await core.add_target()
    other = new_name("ivi")
    await core.add_package(other, "2.1.0")
    body = [queue_request(name, "2.1.0"), queue_request(other, "2.1.0")]
    answer = await core.web.send("POST", "/install-requests/batch", body)
    assert refused(answer) == (404, "No filters associated with package")
    assert (await core.web.send("GET", "/install-requests", query={"vin": vin})).body == []


@pytest.mark.whitelist("WL-B2-6", "listed")
async def test_queued_requests_are_listed_with_their_counts(core: RunningCore) -> None:
    vin, name = await core.add_target()
    request_id = await core.queue(name, "2.1.0", description="Better maps")
    answer = await core.web.send("GET", "/install-requests", query={"package": f"{name}/2.1.0", "vin": vin})
    assert answer.status == 200
    [request] = answer.body
    assert (request["install_request_id"], request["status"], request["priority"]) == (request_id, "running", 10)
    assert request["counts"] == {"pending": 1, "in_flight": 0, "installed": 0, "failed": 0, "cancelled": 0}
    assert request["package"] == {"name": name, "version": "2.1.0"}


async def test_queued_requests_are_given_a_page_at_a_time(core: RunningCore) -> None:
    vin, name = await core.add_target()
    queued = [await core.queue(name, "2.1.0") for _ in range(3)]
    listed, query = [], {"vin": vin, "limit": "2"}
    while True:
        answer = await core.web.send("GET", "/install-requests", query=query)
        listed.append([request["install_request_id"] for request in answer.body])
        if "link" not in answer.headers:
            break
        query["cursor"] = answer.headers["link"].partition("cursor=")[2].partition(">")[0]
    assert listed == [queued[:2], queued[2:]]


@pytest.mark.whitelist("WL-B2-6", "empty")
async def test_list_of_queued_requests_is_empty_where_none_waits(core: RunningCore) -> None:
    vin, name = await core.add_target()
    answer = await core.web.send("GET", "/install-requests", query={"package": f"{name}/2.1.0", "vin": vin})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B2-6", "filters_missing")
async def test_queued_requests_of_a_package_without_filters_are_refused(core: RunningCore) -> None:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0")
    answer = await core.web.send("GET", "/install-requests", query={"package": f"{name}/2.1.0"})
    assert refused(answer) == (404, "No filters associated with package")


@pytest.mark.parametrize("query", [{"package": "ivi"}, {"vin": "x"}, {"status": "lost"}, {"limit": "0"}])
async def test_query_that_cannot_be_read_is_malformed(core: RunningCore, query: dict[str, str]) -> None:
    assert (await core.web.send("GET", "/install-requests", query=query)).status == 400


@pytest.mark.whitelist("WL-B2-6", "package_missing")
async def test_requests_of_an_unknown_package_are_refused(core: RunningCore) -> None:
    answer = await core.web.send("GET", "/install-requests", query={"package": "nowhere/1.0.0"})
    assert refused(answer) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B2-14", "listed", "empty")
async def test_completed_installs_of_a_request_are_listed(core: RunningCore) -> None:
    offer = await core.offer()
    path = f"/install-requests/{offer.request_id}/completed"
    none = await core.web.send("GET", path)
    assert (none.status, none.body) == (200, [])
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)
    answer = await core.web.send("GET", path)
    assert (answer.status, [entry["vin"] for entry in answer.body]) == (200, [offer.vehicle.vin])
    assert abs(datetime.fromisoformat(answer.body[0]["completed_at"]) - datetime.now(UTC)) < timedelta(seconds=30)


@pytest.mark.whitelist("X-B2-2", "found")
@pytest.mark.whitelist("X-B2-3", "listed", "empty")
@pytest.mark.whitelist("X-B2-4", "found")
async def test_pages_of_a_request_and_its_updates(core: RunningCore) -> None:
    vin, name = await core.add_target()
    request_id = await core.queue(name, "2.1.0")
    request = await core.web.send("GET", f"/install-requests/{request_id}")
    assert (request.status, request.body["status"]) == (200, "running")
    update = await core.update_of(request_id)
    updates = await core.web.send("GET", f"/install-requests/{request_id}/vehicles")
    assert (updates.status, updates.body) == (200, [update])
    single = await core.web.send("GET", f"/updates/{update['update_id']}")
    assert (single.status, single.body) == (200, update)
    assert (update["vin"], update["acknowledged"], update["size"]) == (vin, 0, 3072)
    failed = await core.web.send("GET", f"/install-requests/{request_id}/vehicles", query={"status": "failed"})
    assert (failed.status, failed.body) == (200, [])
