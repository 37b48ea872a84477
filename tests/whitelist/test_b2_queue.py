"""B2, Web Server to SOTA Core: queues of vehicles, against the real Core, a real Resolver and a played node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sota.boundaries.values import Reason
from sota.core.requests.wire import REASON_TEXTS
from sota.core.tables import outbox, update
from tests.support.answer import Answer
from tests.support.core import RunningCore, new_package
from tests.support.names import new_name, new_vin
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
UNKNOWN_ID = "019aa9c0-1111-7000-8000-000000000001"


def counts(**some: int) -> dict[str, int]:
    return {"pending": 0, "in_flight": 0, "installed": 0, "failed": 0, "cancelled": 0, **some}


def ids(answer: Answer) -> list[str]:
    return [entry["update_id"] for entry in answer.body]


async def queued(core: RunningCore, vin: str, **more: Any) -> str:
    """Queue a package of its own for a vehicle; return the update's id."""
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
    return str((await core.update_of(await core.queue(name, "2.1.0", **more)))["update_id"])


async def act(core: RunningCore, request_id: str, what: str) -> Answer:
    return await core.web.send("POST", f"/install-requests/{request_id}/{what}")


async def withdrawn(core: RunningCore, update_id: str) -> None:
    """Wait until Core withdraws the schedule of an update at the node."""

    async def look() -> bool:
        return any(entry["update_id"] == update_id for entry in core.edge.unscheduled)

    await until(look, f"{update_id} is taken back from the node")


@pytest.mark.whitelist("X-B2-10", "cancelled")
async def test_cancel_ends_what_waits_and_takes_it_back_from_the_node(core: RunningCore) -> None:
    vin, name = await core.add_target()
    request_id = await core.queue(name, "2.1.0")
    update = await core.update_of(request_id)
    answer = await act(core, request_id, "cancel")
    assert (answer.status, answer.body["changed"]) == (200, 1)
    assert answer.body["counts"] == counts(cancelled=1)
    ended = await core.update_of(request_id)
    assert (ended["status"], ended["reason"], "completed_at" in ended) == ("cancelled", "cancelled", True)
    await withdrawn(core, update["update_id"])
    again = await act(core, request_id, "cancel")
    assert (again.status, again.body["changed"], again.body["counts"]) == (200, 0, counts(cancelled=1))
    assert (await core.web.send("GET", f"/vehicles/{vin}/queue")).body == []


@pytest.mark.whitelist("X-B2-10", "cancelled")
async def test_cancel_leaves_what_is_under_way(core: RunningCore) -> None:
    offer = await core.offer()
    answer = await act(core, offer.request_id, "cancel")
    assert (answer.status, answer.body["changed"], answer.body["counts"]) == (200, 0, counts(in_flight=1))
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)
    assert (await offer.update())["status"] == "installed"


@pytest.mark.whitelist("X-B2-11", "stopped")
async def test_stop_aborts_what_is_under_way_too(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    update_id = (await offer.update())["update_id"]
    answer = await act(core, offer.request_id, "stop")
    assert (answer.status, answer.body["changed"], answer.body["counts"]) == (200, 1, counts(cancelled=1))
    abort = await offer.vehicle.next_message("abort", offer.index)
    assert abort["reason"] == "cancelled"
    ended = await offer.update()
    assert (ended["status"], ended["reason"]) == ("cancelled", "cancelled")
    assert "stage" not in ended
    await withdrawn(core, update_id)
    again = await act(core, offer.request_id, "stop")
    assert (again.status, again.body["changed"]) == (200, 0)
    assert (await offer.vehicle.initiate(offer.index))[0] == 409


async def test_stopped_vehicle_goes_on_with_what_waits_next(core: RunningCore) -> None:
    offer = await core.offer()
    await queued(core, offer.vehicle.vin)
    await act(core, offer.request_id, "stop")
    following = await core.edge.expect(offer.vehicle.vin, "notify", after=1)
    assert following.body["downloads"][0]["download_index"] > offer.index


@pytest.mark.whitelist("X-B2-12", "retried")
async def test_retry_gives_what_was_cancelled_a_new_update_in_the_same_request(core: RunningCore) -> None:
    vin, name = await core.add_target()
    request_id = await core.queue(name, "2.1.0")
    first = await core.update_of(request_id)
    await act(core, request_id, "cancel")
    answer = await act(core, request_id, "retry-failed")
    assert (answer.status, answer.body["changed"], answer.body["counts"]) == (200, 1, counts(pending=1))
    second = await core.update_of(request_id)
    assert (second["status"], second["vin"], second["packages"]) == ("pending", vin, first["packages"])
    assert second["update_id"] != first["update_id"]
    again = await act(core, request_id, "retry-failed")
    assert (again.body["changed"], again.body["counts"]) == (0, counts(pending=1))
    old = await core.web.send("GET", f"/updates/{first['update_id']}")
    assert old.body["status"] == "cancelled"
    listed = await core.web.send("GET", "/install-requests", query={"vin": vin, "status": "running"})
    assert [request["install_request_id"] for request in listed.body] == [request_id]


async def test_retried_update_can_be_installed(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.report(offer.index, offer.package, "failed", reason="install_failed")
    assert (await offer.update())["status"] == "failed"
    await act(core, offer.request_id, "retry-failed")
    notified = (await core.edge.expect(offer.vehicle.vin, "notify", after=1)).body
    index = notified["downloads"][0]["download_index"]
    await offer.vehicle.download(index, offer.package)
    await offer.vehicle.report(index, offer.package)
    request = await core.web.send("GET", f"/install-requests/{offer.request_id}")
    assert (request.body["counts"], request.body["status"]) == (counts(installed=1), "completed")


async def test_retry_passes_over_what_is_installed_already_and_what_is_too_late(core: RunningCore) -> None:
    vin, name = await core.add_target()
    late = await core.queue(name, "2.1.0", end_s=1)
    installed = await core.queue(name, "2.1.0")

    async def expired() -> bool:
        return bool((await core.update_of(late))["status"] == "failed")

    await until(expired, "the interval is over")
    assert (await core.update_of(late))["reason"] == "expired"
    await withdrawn(core, (await core.update_of(late))["update_id"])
    await act(core, installed, "cancel")
    await core.web.send("PUT", f"/vehicles/{vin}/packages", [{"name": name, "version": "2.1.0"}])
    assert (await act(core, late, "retry-failed")).body["changed"] == 0
    assert (await act(core, installed, "retry-failed")).body["changed"] == 0


async def test_retry_asks_the_resolver_where_it_was_not_known_what_a_vehicle_needs(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    needed = new_name("base")
    await core.resolver.add_package(needed, "1.0.0")
    main = new_name("ivi")
    await core.add_package(main, "1.0.0", (needed, "1.0.0"), expression=f'vin_matches "{vin}"')
    request_id = await core.queue(main, "1.0.0")
    assert (await core.update_of(request_id))["reason"] == "dependency"
    assert (await act(core, request_id, "retry-failed")).body["changed"] == 0
    # What Core lacked is registered there now; the Resolver had it all along.
    await core.web.send("POST", "/packages", new_package(needed, "1.0.0", b"base", uri=needed))
    answer = await act(core, request_id, "retry-failed")
    assert (answer.body["changed"], answer.body["counts"]) == (1, counts(pending=1))
    packages = (await core.update_of(request_id))["packages"]
    assert packages == [{"name": needed, "version": "1.0.0"}, {"name": main, "version": "1.0.0"}]


@pytest.mark.whitelist("X-B2-10", "not_found")
@pytest.mark.whitelist("X-B2-11", "not_found")
@pytest.mark.whitelist("X-B2-12", "not_found")
@pytest.mark.parametrize("what", ["cancel", "stop", "retry-failed"])
async def test_unknown_request_is_not_found(core: RunningCore, what: str) -> None:
    answer = await act(core, UNKNOWN_ID, what)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")


async def test_schedule_of_what_ended_while_the_node_was_away_is_not_sent(core: RunningCore) -> None:
    _, name = await core.add_target()
    core.edge.is_away = True
    request_id = await core.queue(name, "2.1.0")
    update_id = (await core.update_of(request_id))["update_id"]
    await act(core, request_id, "cancel")
    core.edge.is_away = False
    await core.db.transact(lambda tx: tx.execute(outbox.update().values(due_at=datetime.now(UTC))))
    await withdrawn(core, update_id)

    async def look() -> bool:
        async with core.db.read() as tx:
            return (await tx.execute(outbox.select().where(outbox.c.kind == "schedule"))).first() is None

    await until(look, "the schedule is gone from the outbox")
    assert update_id not in {entry["update_id"] for entry in core.edge.scheduled}


@pytest.mark.whitelist("X-B2-13", "listed", "empty")
async def test_queue_is_in_the_order_of_priority_and_request(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    none = await core.web.send("GET", f"/vehicles/{vin}/queue")
    assert (none.status, none.body) == (200, [])
    late, first, second = [await queued(core, vin, priority=priority) for priority in (50, 10, 10)]
    answer = await core.web.send("GET", f"/vehicles/{vin}/queue")
    assert (answer.status, ids(answer)) == (200, [first, second, late])
    page = await core.web.send("GET", f"/vehicles/{vin}/queue", query={"limit": "2"})
    assert ids(page) == [first, second]
    cursor = page.headers["link"].partition("cursor=")[2].partition(">")[0]
    rest = await core.web.send("GET", f"/vehicles/{vin}/queue", query={"limit": "2", "cursor": cursor})
    assert (ids(rest), "link" in rest.headers) == ([late], False)


@pytest.mark.whitelist("X-B2-14", "ordered")
async def test_order_given_by_hand_holds_and_later_ones_take_their_place(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    one, two, three = [await queued(core, vin, priority=priority) for priority in (10, 20, 30)]
    answer = await core.web.send("PUT", f"/vehicles/{vin}/queue/order", [three, one, two])
    assert (answer.status, ids(answer)) == (200, [three, one, two])
    urgent, ordinary = await queued(core, vin, priority=5), await queued(core, vin, priority=15)
    queue = await core.web.send("GET", f"/vehicles/{vin}/queue")
    assert ids(queue) == [urgent, three, one, ordinary, two]
    assert [entry["status"] for entry in queue.body] == ["pending"] * 5


async def test_vehicle_is_told_in_the_order_given_by_hand(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    first, second = await queued(core, vin, priority=10), await queued(core, vin, priority=20)
    await core.web.send("PUT", f"/vehicles/{vin}/queue/order", [second, first])
    await core.edge.connect(vin)
    assert (await core.edge.expect(vin, "notify")).body["update_id"] == second
    queue = await core.web.send("GET", f"/vehicles/{vin}/queue")
    assert [(entry["update_id"], entry["status"]) for entry in queue.body] == [
        (second, "in_flight"),
        (first, "pending"),
    ]


async def test_order_must_list_exactly_what_waits(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    one, two = await queued(core, vin), await queued(core, vin)
    path = f"/vehicles/{vin}/queue/order"
    for wrong in ([one], [one, one], [one, two, UNKNOWN_ID], [one, UNKNOWN_ID], [], ["x"], {"a": 1}):
        assert (await core.web.send("PUT", path, wrong)).status == 400
    assert ids(await core.web.send("GET", f"/vehicles/{vin}/queue")) == [one, two]


@pytest.mark.whitelist("X-B2-15", "listed", "empty")
async def test_history_gives_what_is_over_the_latest_first(core: RunningCore) -> None:
    offer = await core.offer()
    path = f"/vehicles/{offer.vehicle.vin}/history"
    none = await core.web.send("GET", path)
    assert (none.status, none.body) == (200, [])
    operations = [{"id": "install", "result_code": 4, "result_text": "dpkg: no space left"}]
    await offer.vehicle.report(offer.index, offer.package, "failed", reason="install_failed", operations=operations)
    failed = (await offer.update())["update_id"]
    second = await core.queue(*offer.package.split("/"))
    await act(core, second, "stop")
    answer = await core.web.send("GET", path)
    assert (answer.status, [entry["status"] for entry in answer.body]) == (200, ["cancelled", "failed"])
    entry = answer.body[1]
    assert (entry["update_id"], entry["reason"], entry["result_code"]) == (failed, "install_failed", 4)
    assert entry["result_text"] == "dpkg: no space left"
    assert abs(datetime.fromisoformat(entry["completed_at"]) - datetime.now(UTC)) < timedelta(seconds=60)
    page = await core.web.send("GET", path, query={"limit": "1"})
    cursor = page.headers["link"].partition("cursor=")[2].partition(">")[0]
    rest = await core.web.send("GET", path, query={"limit": "1", "cursor": cursor})
    assert ids(page) + ids(rest) == ids(answer)
    assert "link" not in rest.headers


@pytest.mark.whitelist("X-B2-16", "asked")
async def test_vehicle_is_asked_for_its_packages_and_its_answer_is_taken(core: RunningCore) -> None:
    offer = await core.offer()
    vin = offer.vehicle.vin
    answer = await core.web.send("POST", f"/vehicles/{vin}/sync")
    assert answer.status == 202
    await core.edge.expect(vin, "getpackages")
    told = {"vin": vin, "packages": [{"name": "found", "version": "7"}], "firmware": []}
    await core.edge.say(vin, "packages", told)
    assert await core.installed(vin) == [{"name": "found", "version": "7"}]


async def test_question_waits_for_a_node_that_is_away(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    core.edge.is_away = True
    try:
        assert (await core.web.send("POST", f"/vehicles/{vin}/sync")).status == 202
    finally:
        core.edge.is_away = False
    await core.edge.expect(vin, "getpackages")


@pytest.mark.whitelist("X-B2-13", "not_found")
@pytest.mark.whitelist("X-B2-14", "not_found")
@pytest.mark.whitelist("X-B2-15", "not_found")
@pytest.mark.whitelist("X-B2-16", "not_found")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "queue", None), ("PUT", "queue/order", []), ("GET", "history", None), ("POST", "sync", None)],
)
async def test_unknown_vehicle_has_no_queue(core: RunningCore, method: str, path: str, body: Any) -> None:
    answer = await core.web.send(method, f"/vehicles/{new_vin()}/{path}", body)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")


async def test_vehicles_of_a_request_by_status_agree_with_its_counts(core: RunningCore) -> None:
    prefix = new_name("Q").upper().replace("-", "")
    vins = [await core.add_vehicle(vin=f"{prefix}{number:0{17 - len(prefix)}d}") for number in range(5)]
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", expression=f'vin_matches "^{prefix}"')
    request_id = await core.queue(name, "2.1.0")
    states = {"pending": None, "in_flight": None, "installed": None, "failed": "expired", "cancelled": "declined"}
    for vin, (status, reason) in zip(vins, states.items(), strict=True):
        await write(core, [vin], status, reason)
    request = await core.web.send("GET", f"/install-requests/{request_id}")
    assert request.body["counts"] == dict.fromkeys(states, 1)
    for vin, (status, reason) in zip(vins, states.items(), strict=True):
        listed = await core.web.send("GET", f"/install-requests/{request_id}/vehicles", query={"status": status})
        assert [(entry["vin"], entry["status"], entry.get("reason")) for entry in listed.body] == [
            (vin, status, reason)
        ]
        assert "changed_at" in listed.body[0]
        assert listed.body[0].get("reason_text") == (REASON_TEXTS[Reason(reason)] if reason is not None else None)
    await write(core, vins, "failed", "expired")  # nothing may wait on, for later tests


def test_every_reason_is_said_in_words() -> None:
    assert REASON_TEXTS.keys() == set(Reason)
    assert all(text.endswith(".") for text in REASON_TEXTS.values())


async def write(core: RunningCore, vins: list[str], status: str, reason: str | None) -> None:
    change = update.update().where(update.c.vin.in_(vins)).values(status=status, reason=reason)
    await core.db.transact(lambda tx: tx.execute(change))


@pytest.mark.parametrize(
    ("installed", "queued_version"), [("2.10.0", "2.9.0"), ("10.0.0", "9.9.9"), ("2.1.1", "2.1.0")]
)
async def test_downgrade_is_left_out_unless_the_request_allows_it(
    core: RunningCore, installed: str, queued_version: str
) -> None:
    name = new_name("ivi")
    vin = await core.add_vehicle((name, installed))
    await core.add_package(name, queued_version, expression=f'vin_matches "{vin}"')
    request_id = await core.queue(name, queued_version)
    request = await core.web.send("GET", f"/install-requests/{request_id}")
    assert (request.body["counts"], request.body["left_out"], request.body["status"]) == (counts(), 1, "failed")
    allowed = await core.queue(name, queued_version, allow_downgrade=True)
    request = await core.web.send("GET", f"/install-requests/{allowed}")
    assert (request.body["counts"], request.body["left_out"]) == (counts(pending=1), 0)


async def test_upgrade_is_no_downgrade_where_numbers_have_more_digits(core: RunningCore) -> None:
    name = new_name("ivi")
    vin = await core.add_vehicle((name, "2.9.0"))
    await core.add_package(name, "2.10.0", expression=f'vin_matches "{vin}"')
    request = await core.web.send("GET", f"/install-requests/{await core.queue(name, '2.10.0')}")
    assert (request.body["counts"], request.body["left_out"]) == (counts(pending=1), 0)
