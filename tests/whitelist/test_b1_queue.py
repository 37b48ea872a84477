"""B1: queues, the blacklist and retired vehicles, through the real Web Server, Core and Resolver, without a node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sota.boundaries.interaction import Role
from sota.core.tables import outbox, update, vehicle
from sota.web.tables import REGISTRATION
from tests.support.answer import Answer
from tests.support.backend import Backend, Server
from tests.support.names import new_name, new_vin

INTERVAL = {
    "start": datetime.now(UTC).isoformat(),
    "end": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
}
UNKNOWN = "01890000-0000-7000-8000-000000000000"
WHY = {"comment": "The radio stays silent."}


def body_for(package: str, **changes: Any) -> dict[str, Any]:
    name, version = package.split("/")
    return {"package": {"name": name, "version": version}, "priority": 10, "interval": INTERVAL, **changes}


async def queued(backend: Backend) -> tuple[str, str, str]:
    """Queue a package for one vehicle; return the VIN, the package and the request's id."""
    vin = await backend.with_vehicle()
    package = await backend.with_targeted_package(f'vin_matches "^{vin}$"')
    answer = await backend.ask("POST", "/api/v1/install-requests", body_for(package))
    assert answer.status == 200, answer
    return vin, package, answer.body["install_request_id"]


async def write(backend: Backend, vin: str, **values: Any) -> None:
    """Write to Core's database what a vehicle's messages would cause."""
    change = update.update().where(update.c.vin == vin).values(**values)
    await backend.core.db.transact(lambda tx: tx.execute(change))


async def act(backend: Backend, request_id: str, what: str) -> Answer:
    return await backend.ask("POST", f"/api/v1/install-requests/{request_id}/{what}")


@pytest.mark.whitelist("X-B1-12", "cancelled")
@pytest.mark.whitelist("X-B1-14", "retried")
async def test_request_is_cancelled_and_tried_again(backend: Backend) -> None:
    _, _, request_id = await queued(backend)
    cancelled = await act(backend, request_id, "cancel")
    assert (cancelled.status, cancelled.body["changed"], cancelled.body["counts"]["cancelled"]) == (200, 1, 1)
    retried = await act(backend, request_id, "retry-failed")
    assert (retried.status, retried.body["changed"]) == (200, 1)
    counts = retried.body["counts"]
    assert (counts["pending"], counts["cancelled"]) == (1, 0)


@pytest.mark.whitelist("X-B1-13", "stopped")
async def test_request_is_stopped_with_what_is_under_way(backend: Backend) -> None:
    vin, _, request_id = await queued(backend)
    await write(backend, vin, status="in_flight", stage="transferring")
    assert (await act(backend, request_id, "cancel")).body["changed"] == 0
    stopped = await act(backend, request_id, "stop")
    assert (stopped.status, stopped.body["changed"], stopped.body["counts"]["cancelled"]) == (200, 1, 1)
    assert stopped.body["install_request_id"] == request_id


@pytest.mark.whitelist("X-B1-12", "not_found")
@pytest.mark.whitelist("X-B1-13", "not_found")
@pytest.mark.whitelist("X-B1-14", "not_found")
@pytest.mark.parametrize("what", ["cancel", "stop", "retry-failed"])
async def test_unknown_request_cannot_be_changed(backend: Backend, what: str) -> None:
    answer = await act(backend, UNKNOWN, what)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-15", "listed", "empty")
@pytest.mark.whitelist("X-B1-16", "ordered")
async def test_queue_of_a_vehicle_can_be_put_in_another_order(backend: Backend) -> None:
    vin, package, _ = await queued(backend)
    other = await backend.with_vehicle()
    none = await backend.ask("GET", f"/api/v1/vehicles/{other}/queue")
    assert (none.status, none.body) == (200, [])
    await backend.ask("POST", "/api/v1/install-requests", body_for(package, priority=50))
    queue = await backend.ask("GET", f"/api/v1/vehicles/{vin}/queue")
    assert queue.status == 200
    first, second = [entry["update_id"] for entry in queue.body]
    ordered = await backend.ask("PUT", f"/api/v1/vehicles/{vin}/queue/order", [second, first])
    assert (ordered.status, [entry["update_id"] for entry in ordered.body]) == (200, [second, first])
    page = await backend.ask("GET", f"/api/v1/vehicles/{vin}/queue", query={"limit": "1"})
    assert ([entry["update_id"] for entry in page.body], "link" in page.headers) == ([second], True)
    wrong = await backend.ask("PUT", f"/api/v1/vehicles/{vin}/queue/order", [second])
    assert wrong.status == 400


@pytest.mark.whitelist("X-B1-17", "listed", "empty")
async def test_history_of_a_vehicle_is_shown(backend: Backend) -> None:
    vin, _, request_id = await queued(backend)
    none = await backend.ask("GET", f"/api/v1/vehicles/{vin}/history")
    assert (none.status, none.body) == (200, [])
    await act(backend, request_id, "cancel")
    history = await backend.ask("GET", f"/api/v1/vehicles/{vin}/history")
    assert history.status == 200
    [entry] = history.body
    assert (entry["status"], entry["reason"], "completed_at" in entry) == ("cancelled", "cancelled", True)


@pytest.mark.whitelist("X-B1-18", "asked")
async def test_vehicle_is_asked_for_its_packages(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    answer = await backend.ask("POST", f"/api/v1/vehicles/{vin}/sync")
    assert answer.status == 202
    async with backend.core.db.read() as tx:  # no node is there: the question waits for it
        waiting = (await tx.execute(outbox.select().where(outbox.c.kind == "getpackages"))).all()
    assert f'"{vin}"' in {entry.payload for entry in waiting}


@pytest.mark.whitelist("X-B1-15", "not_found")
@pytest.mark.whitelist("X-B1-16", "not_found")
@pytest.mark.whitelist("X-B1-17", "not_found")
@pytest.mark.whitelist("X-B1-18", "not_found")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "queue", None), ("PUT", "queue/order", []), ("GET", "history", None), ("POST", "sync", None)],
)
async def test_unknown_vehicle_has_no_queue(backend: Backend, method: str, path: str, body: Any) -> None:
    answer = await backend.ask(method, f"/api/v1/vehicles/{new_vin()}/{path}", body)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-19", "blacklisted")
@pytest.mark.whitelist("X-B1-20", "allowed")
@pytest.mark.whitelist("X-B1-21", "found")
@pytest.mark.whitelist("WL-B1-5", "package_blacklisted")
@pytest.mark.whitelist("WL-B1-8", "package_blacklisted")
@pytest.mark.whitelist("WL-B1-18", "package_blacklisted")
async def test_package_is_blacklisted_and_allowed_again(backend: Backend) -> None:
    _, package, request_id = await queued(backend)
    path = f"/api/v1/packages/{package}/blacklist"
    preview = await backend.ask("GET", f"{path}/preview", role=Role.VIEWER)
    assert (preview.status, preview.body) == (200, {"pending": 1, "in_flight": 0, "vehicles": 1, "installed_on": 0})
    done = await backend.ask("PUT", path, WHY, role=Role.ADMIN)
    assert (done.status, done.body) == (200, {"message": "Package blacklisted", "cancelled": 1, "in_flight": 0})
    updates = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/vehicles", query={"status": "cancelled"})
    assert [entry["reason"] for entry in updates.body] == ["blacklisted"]
    campaign = {"package": body_for(package)["package"], "priority": 10, **INTERVAL}
    body = body_for(package)
    for way, content in (("install-requests", body), ("install-requests/batch", [body]), ("campaigns", campaign)):
        refused = await backend.ask("POST", f"/api/v1/{way}", content)
        assert (refused.status, refused.message) == (409, "Package is blacklisted")
        assert refused.body["code"] == "package_blacklisted"
    allowed = await backend.ask("DELETE", path, role=Role.ADMIN)
    assert (allowed.status, allowed.body) == (200, {"message": "Package no longer blacklisted"})
    assert (await backend.ask("POST", "/api/v1/install-requests", body)).status == 200


async def test_blacklisting_stops_what_is_under_way_where_it_is_told_to(backend: Backend) -> None:
    vin, package, request_id = await queued(backend)
    await write(backend, vin, status="in_flight", stage="notified")
    path = f"/api/v1/packages/{package}/blacklist"
    left = await backend.ask("PUT", path, WHY, role=Role.ADMIN)
    stopped = await backend.ask("PUT", path, WHY, role=Role.ADMIN, query={"stop": "true"})
    wrong = await backend.ask("PUT", path, WHY, role=Role.ADMIN, query={"stop": "1"})
    assert (left.body["in_flight"], stopped.body["cancelled"], wrong.status) == (1, 1, 400)
    counts = (await backend.ask("GET", f"/api/v1/install-requests/{request_id}")).body["counts"]
    assert counts["cancelled"] == 1


@pytest.mark.whitelist("X-B1-19", "not_found")
@pytest.mark.whitelist("X-B1-20", "not_found")
@pytest.mark.whitelist("X-B1-21", "not_found")
@pytest.mark.parametrize(
    ("method", "rest", "body"), [("PUT", "", WHY), ("DELETE", "", None), ("GET", "/preview", None)]
)
async def test_unknown_package_cannot_be_blacklisted(backend: Backend, method: str, rest: str, body: Any) -> None:
    path = f"/api/v1/packages/{new_name('unknown')}/1.0.0/blacklist{rest}"
    answer = await backend.ask(method, path, body, role=Role.ADMIN)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", f"/api/v1/install-requests/{UNKNOWN}/stop", Role.VIEWER),
        ("PUT", "/api/v1/packages/ivi/1.0.0/blacklist", Role.OPERATOR),
        ("DELETE", "/api/v1/packages/ivi/1.0.0/blacklist", Role.OPERATOR),
        ("DELETE", "/api/v1/vehicles/WVWZZZ1KZ7W000001", Role.VIEWER),
        ("DELETE", "/api/v1/vehicles/WVWZZZ1KZ7W000001?erase=true", Role.OPERATOR),
    ],
)
async def test_role_is_asked_for(backend: Backend, method: str, path: str, role: Role) -> None:
    where, _, query = path.partition("?")
    answer = await backend.ask(method, where, role=role, query={"erase": "true"} if query else None)
    assert (answer.status, answer.message) == (403, "Forbidden")


@pytest.mark.whitelist("X-B1-22", "retired")
async def test_retired_vehicle_goes_from_the_fleet_and_may_come_back(backend: Backend) -> None:
    vin, _, request_id = await queued(backend)
    answer = await backend.ask("DELETE", f"/api/v1/vehicles/{vin}")
    assert (answer.status, answer.body) == (200, {"message": "Vehicle retired"})
    assert (await backend.ask("GET", "/api/v1/vehicles", query={"regex": vin})).body == []
    history = await backend.ask("GET", f"/api/v1/vehicles/{vin}/history")
    assert [entry["reason"] for entry in history.body] == ["retired"]
    counts = (await backend.ask("GET", f"/api/v1/install-requests/{request_id}")).body["counts"]
    assert counts["cancelled"] == 1
    again = await backend.ask("POST", "/api/v1/vehicles", {"vin": vin})
    assert (again.status, again.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("X-B1-23", "erased")
async def test_erased_vehicle_is_in_neither_register(backend: Backend) -> None:
    vin, _, request_id = await queued(backend)
    erase = {"erase": "true"}
    answer = await backend.ask("DELETE", f"/api/v1/vehicles/{vin}", role=Role.ADMIN, query=erase)
    assert (answer.status, answer.body) == (200, {"message": "Vehicle erased"})
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}")).status == 404
    updates = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/vehicles")
    assert [entry["vin"] == vin for entry in updates.body] == [False]
    async with backend.core.db.read() as tx:
        assert (await tx.execute(vehicle.select().where(vehicle.c.vin == vin))).first() is None
    again = await backend.ask("DELETE", f"/api/v1/vehicles/{vin}", role=Role.ADMIN, query=erase)
    assert (again.status, again.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-22", "not_found")
@pytest.mark.whitelist("X-B1-23", "not_found")
@pytest.mark.parametrize("query", [{}, {"erase": "true"}])
async def test_unknown_vehicle_cannot_be_retired(backend: Backend, query: dict[str, str]) -> None:
    answer = await backend.ask("DELETE", f"/api/v1/vehicles/{new_vin()}", role=Role.ADMIN, query=query)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-22", "vin_busy")
@pytest.mark.whitelist("X-B1-23", "vin_busy")
async def test_vehicle_that_is_being_registered_cannot_be_retired(backend: Backend, cut_off: Server) -> None:
    vin = new_vin()
    assert (await cut_off.ask("POST", "/api/v1/vehicles", {"vin": vin})).status == 503
    for query in ({}, {"erase": "true"}):
        answer = await cut_off.ask("DELETE", f"/api/v1/vehicles/{vin}", role=Role.ADMIN, query=query)
        assert (answer.status, answer.message) == (409, "VIN is being changed")


async def test_retirement_is_written_down_before_anybody_is_told(backend: Backend, cut_off: Server) -> None:
    vin = await backend.with_vehicle()
    answer = await cut_off.ask("DELETE", f"/api/v1/vehicles/{vin}")
    assert answer.status == 503
    async with cut_off.web.db.read() as tx:
        row = (await tx.execute(REGISTRATION.select().where(REGISTRATION.c.object == f"vehicle {vin}"))).one()
    assert (row.kind, row.state) == ("retirement", "open")
