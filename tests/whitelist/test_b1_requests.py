"""B1: install requests and campaigns, through the real Web Server, Core and Resolver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from sota.core.tables import update
from tests.support.backend import Backend
from tests.support.names import new_name

START = datetime.now(UTC) + timedelta(hours=1)
INTERVAL = {"start": START.isoformat(), "end": (START + timedelta(days=1)).isoformat()}


def request_for(package: str, **changes: Any) -> dict[str, Any]:
    name, version = package.split("/")
    return {"package": {"name": name, "version": version}, "priority": 10, "interval": INTERVAL, **changes}


def campaign_for(package: str, **changes: Any) -> dict[str, Any]:
    name, version = package.split("/")
    return {"package": {"name": name, "version": version}, "priority": 10, **INTERVAL, **changes}


async def queued(backend: Backend, expression: str = "TRUE") -> tuple[str, str]:
    """Queue a package; return its id and the request's."""
    package = await backend.with_targeted_package(expression)
    answer = await backend.ask("POST", "/api/v1/install-requests", request_for(package))
    assert answer.status == 200, answer
    return package, answer.body["install_request_id"]


@pytest.mark.whitelist("WL-B1-5", "campaign_created")
async def test_campaign_is_created(backend: Backend) -> None:
    package = await backend.with_targeted_package()
    answer = await backend.ask("POST", "/api/v1/campaigns", campaign_for(package, name="Winter"))
    assert (answer.status, answer.message) == (200, "Campaign created")
    assert UUID(answer.body["campaign_id"]).version == 7
    assert UUID(answer.body["install_request_id"]).version == 7


@pytest.mark.whitelist("WL-B1-5", "package_unknown")
async def test_campaign_for_an_unknown_package_is_refused(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/campaigns", campaign_for(f"{new_name('unknown')}/1.0.0"))
    assert (answer.status, answer.message) == (404, "Unknown Package ID")


@pytest.mark.whitelist("WL-B1-5", "filters_missing")
async def test_campaign_for_a_package_without_filters_is_refused(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/campaigns", campaign_for(await backend.with_package()))
    assert (answer.status, answer.message) == (404, "No filters associated with package")


@pytest.mark.whitelist("WL-B1-8", "queued")
async def test_package_is_queued_under_an_id(backend: Backend) -> None:
    package = await backend.with_targeted_package("FALSE")
    answer = await backend.ask("POST", "/api/v1/install-requests", request_for(package))
    assert answer.status == 200
    assert (answer.body["vehicles"], "install_request_id" in answer.body) == (0, True)
    assert UUID(answer.body["install_request_id"]).version == 7


@pytest.mark.whitelist("WL-B1-8", "package_missing")
async def test_queue_of_an_unknown_package_is_refused(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/install-requests", request_for(f"{new_name('unknown')}/1.0.0"))
    assert (answer.status, answer.message) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B1-8", "filters_missing")
async def test_queue_of_a_package_without_filters_is_refused(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/install-requests", request_for(await backend.with_package()))
    assert (answer.status, answer.message) == (404, "No filters associated with package")


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": 0},
        {"priority": 101},
        {"interval": {"start": INTERVAL["end"], "end": INTERVAL["start"]}},
        {"interval": {"start": INTERVAL["start"]}},
        {"unknown": 1},
    ],
)
async def test_queue_of_what_is_out_of_range_is_a_bad_request(backend: Backend, changes: dict[str, Any]) -> None:
    answer = await backend.ask("POST", "/api/v1/install-requests", request_for("some/1.0.0", **changes))
    assert answer.status == 400


@pytest.mark.whitelist("WL-B1-18", "queued")
async def test_several_packages_are_queued_under_one_id(backend: Backend) -> None:
    packages = [await backend.with_targeted_package("FALSE") for _ in range(2)]
    answer = await backend.ask("POST", "/api/v1/install-requests/batch", [request_for(package) for package in packages])
    assert answer.status == 200
    assert (answer.body["vehicles"], "install_request_id" in answer.body) == (0, True)


@pytest.mark.whitelist("WL-B1-18", "package_missing")
async def test_batch_with_an_unknown_package_is_refused(backend: Backend) -> None:
    packages = [await backend.with_targeted_package(), f"{new_name('unknown')}/1.0.0"]
    answer = await backend.ask("POST", "/api/v1/install-requests/batch", [request_for(package) for package in packages])
    assert (answer.status, answer.message) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B1-18", "filters_missing")
async def test_batch_with_a_package_without_filters_is_refused_whole(backend: Backend) -> None:
    await backend.with_vehicle()
    packages = [await backend.with_targeted_package(), await backend.with_package()]
    answer = await backend.ask("POST", "/api/v1/install-requests/batch", [request_for(package) for package in packages])
    assert (answer.status, answer.message) == (404, "No filters associated with package")
    listed = await backend.ask("GET", "/api/v1/install-requests", query={"package": packages[0]})
    assert (listed.status, listed.body) == (200, [])


@pytest.mark.whitelist("WL-B1-19", "listed")
async def test_queued_requests_are_listed(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    package, request_id = await queued(backend, f'vin_matches "^{vin}$"')
    answer = await backend.ask("GET", "/api/v1/install-requests", query={"package": package})
    assert answer.status == 200
    assert [request["install_request_id"] for request in answer.body] == [request_id]
    assert answer.body[0]["counts"] == {"pending": 1, "in_flight": 0, "installed": 0, "failed": 0, "cancelled": 0}


@pytest.mark.whitelist("WL-B1-19", "empty")
async def test_no_queued_requests_are_an_empty_list(backend: Backend) -> None:
    package = await backend.with_targeted_package()
    answer = await backend.ask("GET", "/api/v1/install-requests", query={"package": package})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B1-19", "filters_missing")
async def test_queued_requests_of_a_package_without_filters_are_refused(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/install-requests", query={"package": await backend.with_package()})
    assert (answer.status, answer.message) == (404, "No filters associated with package")


@pytest.mark.whitelist("WL-B1-31", "listed", "empty")
async def test_completed_installs_of_a_request_are_listed(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    _, request_id = await queued(backend, f'vin_matches "^{vin}$"')
    none = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/completed")
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    # There is no vehicle here: what its report would have Core write is written for it.
    installed = update.update().where(update.c.vin == vin).values(status="installed", completed_at=at)
    await backend.core.db.transact(lambda tx: tx.execute(installed))
    listed = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/completed")
    assert (none.status, none.body) == (200, [])
    assert (listed.status, listed.body) == (200, [{"vin": vin, "completed_at": "2026-03-01T12:30:00Z"}])


@pytest.mark.whitelist("X-B1-2", "found")
@pytest.mark.whitelist("X-B1-3", "listed", "empty")
@pytest.mark.whitelist("X-B1-4", "found")
async def test_a_request_and_its_updates_can_be_looked_at(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    package, request_id = await queued(backend, f'vin_matches "^{vin}$"')
    request = await backend.ask("GET", f"/api/v1/install-requests/{request_id}")
    updates = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/vehicles")
    failed = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/vehicles", query={"status": "failed"})
    single = await backend.ask("GET", f"/api/v1/updates/{updates.body[0]['update_id']}")
    assert [answer.status for answer in (request, updates, failed, single)] == [200, 200, 200, 200]
    assert request.body["install_request_id"] == request_id
    assert [entry["vin"] for entry in updates.body] == [vin]
    assert failed.body == []
    assert f"{single.body['package']['name']}/{single.body['package']['version']}" == package
    assert single.body["status"] == "pending"


@pytest.mark.whitelist("WL-B1-19", "package_missing")
async def test_requests_of_an_unknown_package_are_refused(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/install-requests", query={"package": f"{new_name('unknown')}/1.0.0"})
    assert (answer.status, answer.message) == (404, "Package ID does not exist")


@pytest.mark.whitelist("X-B1-2", "not_found")
async def test_an_unknown_request_is_not_found(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/install-requests/01890000-0000-7000-8000-000000000000")
    assert (answer.status, answer.message) == (404, "Not Found")


async def test_queue_under_the_same_idempotency_key_is_one_request(backend: Backend) -> None:
    package = await backend.with_targeted_package()
    key = {"idempotency-key": new_name("key")}
    first = await backend.ask("POST", "/api/v1/install-requests", request_for(package), headers=key)
    again = await backend.ask("POST", "/api/v1/install-requests", request_for(package), headers=key)
    assert first.status == again.status == 200
    assert first.body == again.body


PAST = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}


@pytest.mark.parametrize("path", ["install-requests", "install-requests/batch", "campaigns"])
async def test_interval_that_is_over_is_refused(backend: Backend, path: str) -> None:
    package = await backend.with_targeted_package()
    body: Any = campaign_for(package) | PAST if path == "campaigns" else request_for(package, interval=PAST)
    if path.endswith("batch"):
        body = [request_for(package), body]
    answer = await backend.ask("POST", f"/api/v1/{path}", body)
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert f"The interval of {package} ended at 2020-01-02T00:00:00Z" in answer.body["detail"]
    listed = await backend.ask("GET", "/api/v1/install-requests", query={"package": package})
    assert listed.body == []


@pytest.mark.parametrize("path", ["install-requests", "campaigns"])
async def test_interval_may_be_all_time_that_utc_has_and_no_more(backend: Backend, path: str) -> None:
    await backend.with_vehicle()
    package = await backend.with_targeted_package()
    wanted = {"start": "0001-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z"}
    beyond = {"start": "2026-01-01T00:00:00Z", "end": "9999-12-31T23:59:59-14:00"}

    def body(interval: dict[str, str]) -> Any:
        return campaign_for(package) | interval if path == "campaigns" else request_for(package, interval=interval)

    refused = await backend.ask("POST", f"/api/v1/{path}", body(beyond))
    assert (refused.status, refused.body["code"]) == (400, "invalid")
    answer = await backend.ask("POST", f"/api/v1/{path}", body(wanted))
    assert answer.status == 200
    shown = await backend.ask("GET", f"/api/v1/install-requests/{answer.body['install_request_id']}")
    assert (shown.status, shown.body["interval"]) == (200, wanted)
