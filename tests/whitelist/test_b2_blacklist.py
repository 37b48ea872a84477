"""B2, Web Server to SOTA Core: packages that must not go out, and vehicles that go. The real Core and Resolver."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from sota.core.tables import METADATA, package
from sota.kit.audit.tables import RECORD
from tests.support.core import RunningCore, queue_request
from tests.support.names import new_name, new_vin
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
WHY = {"comment": "The radio stays silent."}


async def queued(core: RunningCore) -> tuple[str, str, str]:
    """Queue a package for one vehicle; return VIN, the package's path and the request's id."""
    vin, name = await core.add_target()
    return vin, f"{name}/2.1.0", await core.queue(name, "2.1.0")


async def with_prerequisite(core: RunningCore) -> tuple[str, str, str]:
    """Register a vehicle, and a package for it that needs another; return the VIN and the names."""
    vin, needed, main = await core.add_vehicle(), new_name("base"), new_name("ivi")
    await core.add_package(needed, "1.0.0")
    await core.add_package(main, "1.0.0", (needed, "1.0.0"), expression=f'vin_matches "{vin}"')
    return vin, needed, main


@pytest.mark.whitelist("X-B2-17", "blacklisted")
async def test_blacklisting_cancels_what_waits(core: RunningCore) -> None:
    _, path, request_id = await queued(core)
    answer = await core.web.send("PUT", f"/packages/{path}/blacklist", WHY)
    assert (answer.status, answer.body) == (200, {"message": "Package blacklisted", "cancelled": 1, "in_flight": 0})
    update = await core.update_of(request_id)
    assert (update["status"], update["reason"]) == ("cancelled", "blacklisted")
    shown = (await core.web.send("GET", f"/packages/{path}")).body
    assert shown["blacklist_comment"] == WHY["comment"]
    again = await core.web.send("PUT", f"/packages/{path}/blacklist", {"comment": "Still."})
    assert (again.status, again.body["cancelled"]) == (200, 0)
    assert (await core.web.send("GET", f"/packages/{path}")).body["blacklisted_at"] == shown["blacklisted_at"]
    assert (await core.web.send("POST", f"/install-requests/{request_id}/retry-failed")).body["changed"] == 0


@pytest.mark.whitelist("WL-B2-4", "package_blacklisted")
@pytest.mark.whitelist("WL-B2-3", "package_blacklisted")
@pytest.mark.whitelist("WL-B2-5", "package_blacklisted")
@pytest.mark.whitelist("X-B2-18", "allowed")
async def test_blacklisted_package_is_queued_for_no_vehicle_until_it_is_allowed_again(core: RunningCore) -> None:
    vin, name = await core.add_target()
    path = f"{name}/2.1.0"
    await core.web.send("PUT", f"/packages/{path}/blacklist", WHY)
    body = queue_request(name, "2.1.0")
    campaign = {"package": body["package"], "priority": 10, **body["interval"]}
    for way, content in (("install-requests", body), ("install-requests/batch", [body]), ("campaigns", campaign)):
        answer = await core.web.send("POST", f"/{way}", content)
        assert (answer.status, answer.body["title"]) == (409, "Package is blacklisted")
        assert answer.body["code"] == "package_blacklisted"
    assert (await core.web.send("GET", f"/vehicles/{vin}/queue")).body == []
    for _ in range(2):
        allowed = await core.web.send("DELETE", f"/packages/{path}/blacklist")
        assert (allowed.status, allowed.body) == (200, {"message": "Package no longer blacklisted"})
    assert "blacklisted_at" not in (await core.web.send("GET", f"/packages/{path}")).body
    await core.queue(name, "2.1.0")


async def test_what_was_cancelled_by_the_blacklist_can_be_tried_again_when_it_is_allowed(core: RunningCore) -> None:
    _, path, request_id = await queued(core)
    await core.web.send("PUT", f"/packages/{path}/blacklist", WHY)
    await core.web.send("DELETE", f"/packages/{path}/blacklist")
    assert (await core.web.send("POST", f"/install-requests/{request_id}/retry-failed")).body["changed"] == 1
    assert (await core.update_of(request_id))["status"] == "pending"


async def test_blacklisted_package_may_be_removed(core: RunningCore) -> None:
    name = new_name("ivi")
    vin = await core.add_vehicle((name, "2.1.0"))
    await core.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
    await core.web.send("PUT", f"/packages/{name}/2.1.0/blacklist", WHY)
    request_id = await core.queue(name, "2.1.0", command="remove")
    await core.web.send("PUT", f"/packages/{name}/2.1.0/blacklist", WHY)
    assert (await core.update_of(request_id))["status"] == "pending"


async def test_blacklisted_prerequisite_is_sent_to_no_vehicle(core: RunningCore) -> None:
    _, needed, main = await with_prerequisite(core)
    before = await core.queue(main, "1.0.0")
    answer = await core.web.send("PUT", f"/packages/{needed}/1.0.0/blacklist", WHY)
    assert answer.body["cancelled"] == 1
    assert (await core.update_of(before))["reason"] == "blacklisted"
    answer = await core.web.send("POST", "/install-requests", queue_request(main, "1.0.0"))
    assert (answer.status, answer.body["title"]) == (409, "Package is blacklisted")
    assert answer.body["detail"] == (
        f"Package {needed}/1.0.0 is blacklisted, and {main}/1.0.0 needs it: it is not queued."
    )


@pytest.mark.whitelist("X-B2-19", "found")
async def test_preview_says_what_blacklisting_touches(core: RunningCore) -> None:
    vin, needed, main = await with_prerequisite(core)
    await core.add_vehicle((needed, "1.0.0"))
    await core.queue(main, "1.0.0")
    await core.queue(main, "1.0.0")
    answer = await core.web.send("GET", f"/packages/{needed}/1.0.0/blacklist/preview")
    assert answer.status == 200
    assert answer.body == {"pending": 2, "in_flight": 0, "vehicles": 1, "installed_on": 1}
    assert len((await core.web.send("GET", f"/vehicles/{vin}/queue")).body) == 2


async def test_blacklisting_leaves_what_is_under_way_unless_it_is_told_to_stop_it(core: RunningCore) -> None:
    offer = await core.offer()
    path = f"/packages/{offer.package}/blacklist"
    answer = await core.web.send("PUT", path, WHY)
    assert (answer.body["cancelled"], answer.body["in_flight"]) == (0, 1)
    assert (await offer.update())["status"] == "in_flight"
    assert (await core.web.send("PUT", path, WHY, query={"stop": "perhaps"})).status == 400
    stopped = await core.web.send("PUT", path, WHY, query={"stop": "true"})
    assert (stopped.body["cancelled"], stopped.body["in_flight"]) == (1, 0)
    assert (await offer.vehicle.next_message("abort", offer.index))["reason"] == "cancelled"
    assert (await offer.update())["reason"] == "blacklisted"


async def test_blacklisting_that_was_interrupted_is_finished_later(core: RunningCore) -> None:
    _, path, request_id = await queued(core)
    marked = (
        package.update().where(package.c.name == path.split("/")[0]).values(blacklisted_at=core.program.clock.now())
    )
    await core.db.transact(lambda tx: tx.execute(marked))
    await core.program.blacklist.finish()
    assert (await core.update_of(request_id))["reason"] == "blacklisted"


async def test_packages_queued_and_blacklisted_at_the_same_moment_do_not_wait_for_ever(core: RunningCore) -> None:
    for _ in range(5):
        vin, name = await core.add_target()
        body = queue_request(name, "2.1.0")
        answers = await asyncio.gather(
            core.web.send("POST", "/install-requests", body),
            core.web.send("PUT", f"/packages/{name}/2.1.0/blacklist", WHY),
            core.web.send("POST", "/install-requests", body),
        )
        assert {answer.status for answer in answers} <= {200, 409}
        assert (await core.web.send("GET", f"/vehicles/{vin}/queue")).body == []


@pytest.mark.whitelist("X-B2-17", "not_found")
@pytest.mark.whitelist("X-B2-18", "not_found")
@pytest.mark.whitelist("X-B2-19", "not_found")
@pytest.mark.parametrize(
    ("method", "rest", "body"), [("PUT", "", WHY), ("DELETE", "", None), ("GET", "/preview", None)]
)
async def test_unknown_package_is_not_on_the_blacklist(core: RunningCore, method: str, rest: str, body: Any) -> None:
    answer = await core.web.send(method, f"/packages/nowhere/1.0.0/blacklist{rest}", body)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")


@pytest.mark.parametrize("body", [{}, {"comment": ""}, {"comment": "x", "until": "tomorrow"}])
async def test_blacklisting_without_a_reason_is_malformed(core: RunningCore, body: dict[str, str]) -> None:
    assert (await core.web.send("PUT", "/packages/ivi/1.0.0/blacklist", body)).status == 400


async def gone_from_the_resolver(core: RunningCore, vin: str, package: str) -> None:
    async def look() -> bool:
        name, version = package.split("/")
        found = await core.resolver.resolve(name, version)
        return vin not in {entry["vin"] for entry in found.body}

    await until(look, f"the Resolver forgets {vin}")


@pytest.mark.whitelist("X-B2-20", "retired")
async def test_retired_vehicle_gets_nothing_more_and_its_history_stays(core: RunningCore) -> None:
    vin, path, request_id = await queued(core)
    for _ in range(2):
        answer = await core.web.send("DELETE", f"/vehicles/{vin}")
        assert (answer.status, answer.body) == (200, {"message": "Vehicle retired"})
    update = await core.update_of(request_id)
    assert (update["vin"], update["status"], update["reason"]) == (vin, "cancelled", "retired")
    await gone_from_the_resolver(core, vin, path)
    shown = await core.web.send("GET", f"/vehicles/{vin}")
    assert (shown.status, shown.body["packages"], "retired_at" in shown.body) == (200, [], True)
    history = await core.web.send("GET", f"/vehicles/{vin}/history")
    assert [entry["update_id"] for entry in history.body] == [update["update_id"]]
    assert (await core.web.send("GET", "/vehicles", query={"regex": vin})).body == []
    assert (await core.web.send("GET", f"/vehicles/{vin}/packages")).status == 409
    assert (await core.web.send("PUT", f"/vehicles/{vin}/packages", [])).status == 409
    assert (await core.web.send("POST", f"/vehicles/{vin}/sync")).status == 404
    assert (await core.web.send("POST", f"/install-requests/{request_id}/retry-failed")).body["changed"] == 0


async def test_update_under_way_is_stopped_when_its_vehicle_is_retired(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.initiate(offer.index)
    await core.web.send("DELETE", f"/vehicles/{offer.vehicle.vin}")
    await offer.vehicle.next_message("abort", offer.index)
    update = await offer.update()
    assert (update["status"], update["reason"]) == ("cancelled", "retired")


async def test_retired_vehicle_that_the_resolver_still_names_is_left_out(core: RunningCore) -> None:
    vin, name = await core.add_target()
    await core.web.send("DELETE", f"/vehicles/{vin}")
    await gone_from_the_resolver(core, vin, f"{name}/2.1.0")
    await core.resolver.add_vehicle(vin=vin)
    request = (await core.web.send("GET", f"/install-requests/{await core.queue(name, '2.1.0')}")).body
    assert (request["counts"]["pending"], request["left_out"]) == (0, 1)


async def test_retired_vin_can_be_registered_again(core: RunningCore) -> None:
    vin, path, _ = await queued(core)
    await core.web.send("DELETE", f"/vehicles/{vin}")
    answer = await core.web.send("POST", "/vehicles", {"vin": vin})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 409

    async def look() -> bool:
        name, version = path.split("/")
        found = await core.resolver.resolve(name, version)
        return vin in {entry["vin"] for entry in found.body}

    await until(look, "the Resolver knows the vehicle again")
    request_id = await core.queue(*path.split("/"))
    assert (await core.update_of(request_id))["status"] == "pending"


async def test_retired_vin_is_new_to_logistics(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    await core.web.send("DELETE", f"/vehicles/{vin}")
    line = f'{{"vin": "{vin}", "components": [], "packages": []}}\n'.encode()
    answer = await core.logistics.send(
        "POST", "/logistics/vehicles", line, headers={"content-type": "application/x-ndjson"}
    )
    assert [result["status"] for result in answer.body] == ["inserted"]
    assert "retired_at" not in (await core.web.send("GET", f"/vehicles/{vin}")).body


@pytest.mark.whitelist("X-B2-21", "erased")
async def test_erased_vehicle_leaves_a_history_without_its_vin(core: RunningCore) -> None:
    offer = await core.offer(("old", "1.0.0"))
    vin = offer.vehicle.vin
    await offer.vehicle.download(offer.index, offer.package)
    operations = [{"id": "install", "result_code": 0, "result_text": f"done on {vin}"}]
    await offer.vehicle.report(offer.index, offer.package, operations=operations)
    waiting = await core.queue((await core.add_target())[1], "2.1.0")
    name = new_name("next")
    await core.add_package(name, "1.0.0", expression=f'vin_matches "{vin}"')
    request_id = await core.queue(name, "1.0.0")
    answer = await core.web.send("DELETE", f"/vehicles/{vin}", query={"erase": "true"})
    assert (answer.status, answer.body) == (200, {"message": "Vehicle erased"})
    update = await offer.update()
    assert (update["status"], update["vin"] != vin, len(update["vin"])) == ("installed", True, 17)
    assert update["packages"] == [dict(zip(("name", "version"), offer.package.split("/"), strict=True))]
    assert (await core.update_of(request_id))["vin"] == update["vin"]
    assert (await core.update_of(waiting))["status"] == "pending"
    await gone_from_the_resolver(core, vin, offer.package)

    async def is_nowhere() -> bool:
        return await places_of(core, vin) == []

    await until(is_nowhere, "no table has the VIN any more")
    again = await core.web.send("DELETE", f"/vehicles/{vin}", query={"erase": "true"})
    assert (again.status, again.body["title"]) == (404, "Not Found")
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200


async def places_of(core: RunningCore, text: str) -> list[str]:
    """Name the columns of Core's database in which a text stands, but for the audit trail: nothing may change that."""
    found = []
    async with core.db.read() as tx:
        for table in METADATA.tables.values():
            if table.name == RECORD.name:
                continue
            for column in table.columns:
                if isinstance(column.type, sa.String):
                    query = sa.select(sa.func.count()).select_from(table).where(column.contains(text))
                    if (await tx.execute(query)).scalar_one():
                        found.append(f"{table.name}.{column.name}")
    return found


async def test_retired_vehicle_can_be_erased(core: RunningCore) -> None:
    vin, _, request_id = await queued(core)
    await core.web.send("DELETE", f"/vehicles/{vin}")
    assert (await core.web.send("DELETE", f"/vehicles/{vin}", query={"erase": "true"})).status == 200
    assert (await core.update_of(request_id))["vin"] != vin


@pytest.mark.parametrize("erase", ["false", "", "yes"])
async def test_erasing_must_be_meant(core: RunningCore, erase: str) -> None:
    vin = await core.add_vehicle()
    assert (await core.web.send("DELETE", f"/vehicles/{vin}", query={"erase": erase})).status == 400
    assert "retired_at" not in (await core.web.send("GET", f"/vehicles/{vin}")).body


@pytest.mark.whitelist("X-B2-20", "not_found")
@pytest.mark.whitelist("X-B2-21", "not_found")
@pytest.mark.parametrize("query", [{}, {"erase": "true"}])
async def test_unknown_vehicle_cannot_be_retired(core: RunningCore, query: dict[str, str]) -> None:
    answer = await core.web.send("DELETE", f"/vehicles/{new_vin()}", query=query)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")
