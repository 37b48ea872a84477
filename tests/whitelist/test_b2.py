"""B2, Web Server to SOTA Core: the registers. Every outcome, against the real Core and its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.answer import Answer
from tests.support.core import RunningCore, new_package, running_core
from tests.support.names import new_name, new_vin

pytestmark = pytest.mark.anyio
UNKNOWN_ID = "019aa9c0-1111-7000-8000-000000000001"


@pytest.fixture
async def empty(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[RunningCore]:
    """A Core that knows nothing yet."""
    async with running_core(fresh_database_url, tmp_path) as started:
        yield started


@asynccontextmanager
async def without(core: RunningCore, table: str) -> AsyncIterator[None]:
    """Let a table be away, as after a failed restore."""
    await core.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        yield
    finally:
        await core.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


def refused(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, answer.body["title"]


@pytest.mark.whitelist("WL-B2-1", "inserted")
async def test_new_package_is_inserted(core: RunningCore) -> None:
    name = new_name("ivi")
    answer = await core.web.send("POST", "/packages", new_package(name, "2.1.0", b"x", uri="ab/cd"))
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B2-1", "package_exists")
async def test_package_that_exists_is_refused(core: RunningCore) -> None:
    body = new_package(new_name("ivi"), "2.1.0", b"x", uri="ab/cd")
    await core.web.send("POST", "/packages", body)
    answer = await core.web.send("POST", "/packages", body)
    assert refused(answer) == (409, "Package already exists")
    assert (answer.body["code"], answer.body["interaction"]) == ("package_exists", "WL-B2-1")


@pytest.mark.whitelist("WL-B2-2", "inserted")
async def test_new_vin_is_inserted(core: RunningCore) -> None:
    answer = await core.web.send("POST", "/vehicles", {"vin": new_vin()})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B2-2", "vin_exists")
async def test_vin_that_exists_is_refused(core: RunningCore) -> None:
    vin = new_vin()
    await core.web.send("POST", "/vehicles", {"vin": vin})
    answer = await core.web.send("POST", "/vehicles", {"vin": vin})
    assert refused(answer) == (409, "VIN already exists")
    assert answer.body["code"] == "vin_exists"


@pytest.mark.parametrize("vin", ["", "SHORT", "wvw00000000000001", "WVW000000000000012", "WVW0000000000000\n"])
async def test_what_is_no_vin_is_malformed(core: RunningCore, vin: str) -> None:
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 400


@pytest.mark.whitelist("WL-B2-2", "inserted")
async def test_registration_sent_again_under_its_key_has_its_first_answer(core: RunningCore) -> None:
    vin, headers = new_vin(), {"idempotency-key": new_name("key")}
    for _ in range(2):
        answer = await core.web.send("POST", "/vehicles", {"vin": vin}, headers=headers)
        assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 409
    other = await core.web.send("POST", "/vehicles", {"vin": new_vin()}, headers=headers)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")


@pytest.mark.whitelist("WL-B2-7", "listed")
async def test_vins_that_match_are_listed(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    await core.add_vehicle()
    answer = await core.web.send("GET", "/vehicles", query={"regex": f"^{vin}$"})
    assert answer.status == 200
    [vehicle] = answer.body
    assert (vehicle["vin"], vehicle["connected"]) == (vin, False)


@pytest.mark.whitelist("WL-B2-7", "empty")
async def test_no_vin_that_matches_is_an_empty_list(core: RunningCore) -> None:
    answer = await core.web.send("GET", "/vehicles", query={"regex": "^ABSENT"})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B2-7", "failed")
@pytest.mark.parametrize("query", [{"regex": "("}, {"regex": "(?=lookahead)"}, {"cursor": "not one of ours"}])
async def test_search_that_cannot_be_done_fails(core: RunningCore, query: dict[str, str]) -> None:
    answer = await core.web.send("GET", "/vehicles", query=query)
    assert refused(answer) == (404, "Search VINs Request failed")


async def test_vins_are_given_a_page_at_a_time(empty: RunningCore) -> None:
    vins = sorted([await empty.add_vehicle() for _ in range(5)])
    first = await empty.web.send("GET", "/vehicles", query={"limit": "3", "regex": "TESTVEH"})
    cursor = first.headers["link"].partition("cursor=")[2].partition("&")[0].partition(">")[0]
    second = await empty.web.send("GET", "/vehicles", query={"limit": "3", "regex": "TESTVEH", "cursor": cursor})
    assert [vehicle["vin"] for vehicle in first.body] == vins[:3]
    assert [vehicle["vin"] for vehicle in second.body] == vins[3:]
    assert "link" not in second.headers


@pytest.mark.whitelist("WL-B2-8", "stored")
async def test_package_metadata_are_stored(core: RunningCore) -> None:
    name = new_name("ivi")
    body = new_package(name, "2.1.0", b"content", uri="ab/cd") | {"target": "head-unit"}
    answer = await core.web.send("POST", "/packages", body)
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})
    package = (await core.web.send("GET", f"/packages/{name}/2.1.0")).body
    assert (package["size"], package["sha256"]) == (7, body["sha256"])
    assert (package["target"], package["signed"]) == ("head-unit", False)


@pytest.mark.whitelist("WL-B2-8", "storing_failed")
async def test_package_metadata_that_cannot_be_stored_are_an_error(core: RunningCore) -> None:
    async with without(core, "package"):
        answer = await core.web.send("POST", "/packages", new_package(new_name("ivi"), "2.1.0", b"x", uri="ab/cd"))
    assert refused(answer) == (500, "Upload New Package failed")
    assert (answer.body["code"], answer.body["interaction"]) == ("storing_failed", "WL-B2-8")


@pytest.mark.whitelist("WL-B2-8", "unauthenticated")
async def test_caller_without_a_credential_is_refused(core: RunningCore) -> None:
    body = new_package(new_name("ivi"), "2.1.0", b"x", uri="ab/cd")
    answer = await core.stranger.send("POST", "/packages", body)
    assert refused(answer) == (404, "Authentication Failed")
    assert answer.body["code"] == "unauthenticated"


@pytest.mark.whitelist("WL-B2-9", "changed")
async def test_packages_of_a_vin_are_changed(core: RunningCore) -> None:
    vin = await core.add_vehicle(("old", "1.0.0"))
    packages = [{"name": "ivi", "version": "2.1.0"}, {"name": "kernel", "version": "6.1.0-9 (foreign)"}]
    answer = await core.web.send("PUT", f"/vehicles/{vin}/packages", packages)
    assert (answer.status, answer.body) == (200, packages)
    assert await core.installed(vin) == packages


async def test_packages_that_differ_by_a_space_at_the_end_are_two(core: RunningCore) -> None:
    package, spaced = {"name": "ivi", "version": "2"}, {"name": "ivi ", "version": "2"}
    packages = [package, spaced]
    vin, other = await core.add_vehicle(), await core.add_vehicle()
    answer = await core.web.send("PUT", f"/vehicles/{vin}/packages", packages)
    assert (answer.status, answer.body) == (200, packages)
    assert await core.installed(vin) == packages
    later = [{"name": "ivi", "version": "2 "}, spaced]
    assert (await core.web.send("PUT", f"/vehicles/{other}/packages", later)).status == 200
    assert await core.installed(other) == later
    assert (await core.web.send("GET", "/packages/ivi/2/vehicles")).body == [vin]
    assert (await core.web.send("GET", "/packages/ivi%20/2/vehicles")).body == [vin, other]


@pytest.mark.whitelist("WL-B2-9", "vin_missing")
async def test_packages_of_an_unknown_vin_cannot_be_changed(core: RunningCore) -> None:
    answer = await core.web.send("PUT", f"/vehicles/{new_vin()}/packages", [])
    assert refused(answer) == (409, "VIN does not exist")


@pytest.mark.whitelist("WL-B2-9", "failed")
async def test_list_that_names_a_package_twice_fails(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    answer = await core.web.send("PUT", f"/vehicles/{vin}/packages", [{"name": "ivi", "version": "2.1.0"}] * 2)
    assert refused(answer) == (404, "Update Packages per VIN Request failed")


@pytest.mark.whitelist("WL-B2-10", "found")
async def test_packages_of_a_vin_are_viewed(core: RunningCore) -> None:
    vin = await core.add_vehicle(("ivi", "2.1.0"))
    answer = await core.web.send("GET", f"/vehicles/{vin}/packages")
    assert (answer.status, answer.body) == (200, [{"name": "ivi", "version": "2.1.0"}])


@pytest.mark.whitelist("WL-B2-10", "vin_missing")
async def test_packages_of_an_unknown_vin_cannot_be_viewed(core: RunningCore) -> None:
    answer = await core.web.send("GET", f"/vehicles/{new_vin()}/packages")
    assert refused(answer) == (409, "VIN does not exist")


@pytest.mark.whitelist("WL-B2-10", "failed")
async def test_viewing_packages_fails_with_its_database(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    async with without(core, "installed_package"):
        answer = await core.web.send("GET", f"/vehicles/{vin}/packages")
    assert refused(answer) == (404, "View Packages per VIN Request failed")
    assert "installed_package" not in str(answer.body)


@pytest.mark.whitelist("WL-B2-11", "found")
async def test_vins_that_have_a_package_are_viewed(core: RunningCore) -> None:
    name = new_name("ivi")
    vins = sorted([await core.add_vehicle((name, "2.1.0")) for _ in range(2)])
    await core.add_vehicle((name, "2.0.0"))
    answer = await core.web.send("GET", f"/packages/{name}/2.1.0/vehicles")
    assert (answer.status, answer.body) == (200, vins)


@pytest.mark.whitelist("WL-B2-11", "found")
async def test_package_that_no_vehicle_has_gives_an_empty_list(core: RunningCore) -> None:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0")
    answer = await core.web.send("GET", f"/packages/{name}/2.1.0/vehicles")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B2-11", "package_not_found")
async def test_vins_of_an_unknown_package_cannot_be_viewed(core: RunningCore) -> None:
    answer = await core.web.send("GET", "/packages/nowhere/2.1.0/vehicles")
    assert refused(answer) == (409, "Package does not exist")


@pytest.mark.whitelist("WL-B2-11", "failed")
async def test_viewing_vins_with_a_bad_cursor_fails(core: RunningCore) -> None:
    answer = await core.web.send("GET", "/packages/ivi/2.1.0/vehicles", query={"cursor": "not one of ours"})
    assert refused(answer) == (404, "View VINs per Package Request failed")


@pytest.mark.whitelist("X-B2-7", "inserted")
async def test_new_component_is_inserted(core: RunningCore) -> None:
    body = {"part_number": new_name("TCU"), "name": "Telematics", "description": "LTE"}
    answer = await core.web.send("POST", "/components", body)
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("X-B2-7", "component_exists")
async def test_component_that_exists_is_refused(core: RunningCore) -> None:
    body = {"part_number": new_name("TCU"), "description": ""}
    await core.web.send("POST", "/components", body)
    answer = await core.web.send("POST", "/components", body)
    assert refused(answer) == (409, "Component already exists")


@pytest.mark.whitelist("WL-B2-12", "found", "component_unknown")
async def test_component_is_looked_up(core: RunningCore) -> None:
    number = new_name("TCU")
    answer = await core.web.send("GET", f"/components/{number}")
    assert refused(answer) == (404, "Unknown Component ID")
    assert answer.body["interaction"] == "WL-B2-12"
    await core.web.send("POST", "/components", {"part_number": number, "name": "Telematics", "description": "LTE"})
    answer = await core.web.send("GET", f"/components/{number}")
    assert (answer.status, answer.body["message"]) == (200, "Component already created")
    assert (answer.body["part_number"], answer.body["name"]) == (number, "Telematics")


@pytest.mark.whitelist("WL-B2-13", "listed")
async def test_components_are_searched_by_regex_ids_and_name(core: RunningCore) -> None:
    first, second, label = new_name("TCU"), new_name("ECU"), new_name("label")
    for number, name in ((first, label), (second, "Engine")):
        await core.web.send("POST", "/components", {"part_number": number, "name": name, "description": ""})
    queries = [({"regex": f"^{first}$"}, [first]), ({"id": f"{first},{second}"}, sorted([first, second]))]
    for query, expected in [*queries, ({"name": label}, [first])]:
        answer = await core.web.send("GET", "/components", query=query)
        assert (answer.status, [component["part_number"] for component in answer.body]) == (200, expected)


@pytest.mark.whitelist("WL-B2-13", "empty")
async def test_no_component_that_matches_is_an_empty_list(core: RunningCore) -> None:
    answer = await core.web.send("GET", "/components", query={"regex": "^nothing$"})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B2-13", "failed")
@pytest.mark.parametrize("query", [{"regex": "("}, {"regex": "a", "name": "b"}, {"id": ",".join("ab" * 150)}])
async def test_search_for_components_that_cannot_be_done_fails(core: RunningCore, query: dict[str, str]) -> None:
    answer = await core.web.send("GET", "/components", query=query)
    assert refused(answer) == (404, "Search Components Request failed")


@pytest.mark.whitelist("X-B2-1", "found")
async def test_page_of_a_vehicle_shows_what_is_in_it(core: RunningCore) -> None:
    vin, name = await core.add_target(("base", "1.0.0"))
    await core.queue(name, "2.1.0")
    answer = await core.web.send("GET", f"/vehicles/{vin}")
    assert (answer.status, answer.body["vin"]) == (200, vin)
    assert answer.body["packages"] == [{"name": "base", "version": "1.0.0"}]
    assert [update["package"]["name"] for update in answer.body["updates"]] == [name]


@pytest.mark.whitelist("X-B2-5", "listed", "empty", "failed")
@pytest.mark.whitelist("X-B2-6", "found")
async def test_packages_are_searched_and_shown(core: RunningCore) -> None:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0")
    listed = await core.web.send("GET", "/packages", query={"regex": f"^{name}/2"})
    assert (listed.status, [package["version"] for package in listed.body]) == (200, ["2.1.0"])
    none = await core.web.send("GET", "/packages", query={"regex": "^nothing"})
    assert (none.status, none.body) == (200, [])
    assert refused(await core.web.send("GET", "/packages", query={"regex": "["})) == (
        404,
        "Search Packages Request failed",
    )
    shown = await core.web.send("GET", f"/packages/{name}/2.1.0")
    assert (shown.status, shown.body) == (200, listed.body[0])


@pytest.mark.whitelist("WL-B2-14", "not_found")
@pytest.mark.whitelist("X-B2-1", "not_found")
@pytest.mark.whitelist("X-B2-2", "not_found")
@pytest.mark.whitelist("X-B2-3", "not_found")
@pytest.mark.whitelist("X-B2-4", "not_found")
@pytest.mark.whitelist("X-B2-6", "not_found")
@pytest.mark.parametrize(
    "path",
    [
        "/vehicles/WVW99999999999999",
        "/packages/nowhere/1.0.0",
        f"/install-requests/{UNKNOWN_ID}",
        f"/install-requests/{UNKNOWN_ID}/vehicles",
        f"/install-requests/{UNKNOWN_ID}/completed",
        f"/updates/{UNKNOWN_ID}",
    ],
)
async def test_page_of_what_is_unknown_is_not_found(core: RunningCore, path: str) -> None:
    assert refused(await core.web.send("GET", path)) == (404, "Not Found")


async def test_store_that_refuses_is_503_where_the_row_has_no_outcome_for_errors(core: RunningCore) -> None:
    async with without(core, "vehicle"):
        answer = await core.web.send("POST", "/vehicles", {"vin": new_vin()})
    assert refused(answer) == (503, "Service Unavailable")
    assert int(answer.headers["retry-after"]) > 0
