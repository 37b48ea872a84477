"""B3, Web Server to External Resolver: every outcome, against the real program, its socket and its database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.resolver import tables
from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver

pytestmark = pytest.mark.anyio


@pytest.fixture
async def no_filters(resolver: RunningResolver) -> None:
    await resolver.db.transact(lambda tx: tx.execute(tables.filter.delete()))


@pytest.fixture
async def broken_store(resolver: RunningResolver) -> AsyncIterator[None]:
    """The table of filters is missing, as after a failed restore."""

    async def rename(tx: Tx, before: str, after: str) -> None:
        await tx.execute(sa.text(f"ALTER TABLE `{before}` RENAME TO `{after}`"))

    await resolver.db.transact(lambda tx: rename(tx, "filter", "filter_away"))
    yield
    await resolver.db.transact(lambda tx: rename(tx, "filter_away", "filter"))


@pytest.mark.whitelist("WL-B3-1", "inserted")
async def test_new_package_is_inserted(resolver: RunningResolver) -> None:
    name = new_name("ivi")
    body = {"name": name, "version": "2.1.0", "description": "Head unit", "vendor": "Example", "dependencies": []}
    answer = await resolver.web.send("POST", "/packages", body)
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B3-1", "package_exists")
async def test_package_that_exists_is_refused(resolver: RunningResolver) -> None:
    name = new_name("ivi")
    await resolver.add_package(name, "2.1.0")
    answer = await resolver.web.send("POST", "/packages", {"name": name, "version": "2.1.0"})
    assert (answer.status, answer.body["title"]) == (409, "Package already exists")
    assert (answer.body["code"], answer.body["interaction"]) == ("package_exists", "WL-B3-1")


@pytest.mark.whitelist("WL-B3-2", "inserted")
async def test_new_vin_is_inserted(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("POST", "/vehicles", {"vin": new_vin()})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B3-2", "vin_exists")
async def test_vin_that_exists_is_refused(resolver: RunningResolver) -> None:
    vin = new_vin()
    await resolver.web.send("POST", "/vehicles", {"vin": vin})
    answer = await resolver.web.send("POST", "/vehicles", {"vin": vin})
    assert (answer.status, answer.body["title"]) == (409, "VIN already exists")


@pytest.mark.whitelist("WL-B3-3", "inserted")
async def test_association_is_inserted(resolver: RunningResolver) -> None:
    package, label = new_name("ivi"), await resolver.add_filter("TRUE")
    await resolver.add_package(package, "1.0.0")
    answer = await resolver.web.send("POST", f"/packages/{package}/1.0.0/filters", {"filter": label})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B3-3", "association_exists")
async def test_association_that_exists_is_refused(resolver: RunningResolver) -> None:
    package, label = new_name("ivi"), await resolver.add_filter("TRUE")
    await resolver.add_package(package, "1.0.0")
    await resolver.attach(package, "1.0.0", label)
    answer = await resolver.web.send("POST", f"/packages/{package}/1.0.0/filters", {"filter": label})
    assert (answer.status, answer.body["title"]) == (409, "Filter/Package association already exists")


@pytest.mark.whitelist("WL-B3-3", "filter_label_missing")
async def test_association_with_an_unknown_filter_is_refused(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.add_package(package, "1.0.0")
    answer = await resolver.web.send("POST", f"/packages/{package}/1.0.0/filters", {"filter": "nowhere"})
    assert (answer.status, answer.body["title"]) == (404, "Filter label does not exist")


@pytest.mark.whitelist("WL-B3-3", "package_missing")
async def test_association_with_an_unknown_package_is_refused(resolver: RunningResolver) -> None:
    label = await resolver.add_filter("TRUE")
    answer = await resolver.web.send("POST", "/packages/nowhere/1.0.0/filters", {"filter": label})
    assert (answer.status, answer.body["title"]) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B3-4", "inserted")
async def test_new_filter_is_inserted(resolver: RunningResolver) -> None:
    body = {"name": new_name("filter"), "expression": 'vin_matches "^WVW" AND NOT has_component("^TCU-")'}
    answer = await resolver.web.send("POST", "/filters", body)
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B3-4", "filter_exists")
async def test_filter_that_exists_is_refused(resolver: RunningResolver) -> None:
    label = await resolver.add_filter("TRUE")
    answer = await resolver.web.send("POST", "/filters", {"name": label, "expression": "FALSE"})
    assert (answer.status, answer.body["title"]) == (409, "Filter already exists")


@pytest.mark.whitelist("WL-B3-4", "filter_invalid")
async def test_filter_that_does_not_parse_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("POST", "/filters", {"name": new_name("filter"), "expression": "vin_matches AND"})
    assert (answer.status, answer.body["title"]) == (406, "Filter failed validation")
    assert answer.body["detail"].startswith("line 1, column 13: found 'AND', expected a regular expression in quotes")


@pytest.mark.whitelist("WL-B3-5", "resolved")
async def test_resolve_gives_the_vehicles_that_pass_all_filters(resolver: RunningResolver) -> None:
    package, library = new_name("ivi"), new_name("libtls")
    has = await resolver.add_vehicle(packages=[(library, "1.4.0")], components=["TCU-1"])
    lacks = await resolver.add_vehicle(packages=[(library, "1.1.0")], components=["TCU-2"])
    without_unit = await resolver.add_vehicle(packages=[(library, "1.4.0")])
    await resolver.add_package(library, "1.4.0")
    await resolver.offer(package, "2.0.0", 'has_component "^TCU-"', (library, "1.2.0"))
    label = await resolver.add_filter(f'has_package "^{library}$" "^1"')
    await resolver.attach(package, "2.0.0", label)

    answer = await resolver.resolve(package, "2.0.0")

    itself, prerequisite = {"name": package, "version": "2.0.0"}, {"name": library, "version": "1.4.0"}
    assert answer.status == 200
    found = {one["vin"]: one["packages"] for one in answer.body}
    assert found == {has: [itself], lacks: [prerequisite, itself]}
    assert without_unit not in {match["vin"] for match in answer.body}


@pytest.mark.whitelist("WL-B3-5", "resolved")
async def test_resolve_that_matches_no_vehicle_gives_an_empty_list(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.offer(package, "2.0.0", "FALSE")
    answer = await resolver.resolve(package, "2.0.0")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B3-5", "filters_missing")
async def test_resolve_without_filters_is_refused(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.add_package(package, "2.0.0")
    answer = await resolver.resolve(package, "2.0.0")
    assert (answer.status, answer.body["title"]) == (404, "No filters associated with package")


@pytest.mark.whitelist("WL-B3-5", "package_missing")
async def test_resolve_of_an_unknown_package_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.resolve("nowhere", "1.0.0")
    assert (answer.status, answer.body["title"]) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B3-6", "listed")
async def test_search_gives_the_filters_that_match(resolver: RunningResolver) -> None:
    label = await resolver.add_filter('vin_matches "^1"')
    await resolver.add_filter("TRUE")
    answer = await resolver.web.send("GET", "/filters", query={"regex": f"^{label}$"})
    assert (answer.status, answer.body) == (200, [{"name": label, "expression": 'vin_matches "^1"'}])


@pytest.mark.whitelist("WL-B3-6", "empty")
async def test_search_that_matches_nothing_gives_an_empty_list(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("GET", "/filters", query={"regex": "^no such name$"})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B3-6", "failed")
async def test_search_with_a_broken_pattern_fails(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("GET", "/filters", query={"regex": "("})
    assert (answer.status, answer.body["title"]) == (404, "Search Filters Request failed")


@pytest.mark.whitelist("WL-B3-7", "listed")
async def test_list_gives_the_available_filters(resolver: RunningResolver, no_filters: None) -> None:
    first, second = await resolver.add_filter("TRUE"), await resolver.add_filter("FALSE")
    answer = await resolver.web.send("GET", "/filters")
    listed = sorted([{"name": first, "expression": "TRUE"}, {"name": second, "expression": "FALSE"}], key=str)
    assert (answer.status, sorted(answer.body, key=str)) == (200, listed)


@pytest.mark.whitelist("WL-B3-7", "empty")
async def test_list_without_filters_gives_an_empty_list(resolver: RunningResolver, no_filters: None) -> None:
    answer = await resolver.web.send("GET", "/filters")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B3-7", "failed")
async def test_list_with_a_foreign_cursor_fails(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("GET", "/filters", query={"cursor": "never-returned"})
    assert (answer.status, answer.body["title"]) == (404, "List Filters Request failed")


@pytest.mark.whitelist("WL-B3-8", "updated")
async def test_update_gives_the_available_filters(resolver: RunningResolver, no_filters: None) -> None:
    label = await resolver.add_filter("TRUE")
    answer = await resolver.web.send("PUT", f"/filters/{label}", {"expression": "FALSE"})
    assert (answer.status, answer.body) == (200, [{"name": label, "expression": "FALSE"}])


@pytest.mark.whitelist("WL-B3-8", "filter_missing")
async def test_update_of_an_unknown_filter_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("PUT", "/filters/nowhere", {"expression": "TRUE"})
    assert (answer.status, answer.body["title"]) == (409, "Filter does not exist")


@pytest.mark.whitelist("WL-B3-8", "failed")
async def test_update_on_a_failing_store_fails(resolver: RunningResolver, broken_store: None) -> None:
    answer = await resolver.web.send("PUT", "/filters/any", {"expression": "TRUE"})
    assert (answer.status, answer.body["title"]) == (404, "Update Filter Request failed")
    assert "filter" not in answer.body["detail"]


@pytest.mark.whitelist("WL-B3-8", "filter_invalid")
async def test_update_to_what_does_not_parse_is_refused(resolver: RunningResolver) -> None:
    label = await resolver.add_filter("TRUE")
    answer = await resolver.web.send("PUT", f"/filters/{label}", {"expression": "TRUE AND"})
    assert (answer.status, answer.body["title"]) == (406, "Filter failed validation")


@pytest.mark.whitelist("WL-B3-9", "deleted")
async def test_delete_gives_the_available_filters(resolver: RunningResolver, no_filters: None) -> None:
    gone, stays = await resolver.add_filter("TRUE"), await resolver.add_filter("FALSE")
    answer = await resolver.web.send("DELETE", f"/filters/{gone}")
    assert (answer.status, answer.body) == (200, [{"name": stays, "expression": "FALSE"}])


@pytest.mark.whitelist("WL-B3-9", "filter_missing")
async def test_delete_of_an_unknown_filter_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("DELETE", "/filters/nowhere")
    assert (answer.status, answer.body["title"]) == (409, "Filter does not exist")


@pytest.mark.whitelist("WL-B3-9", "failed")
async def test_delete_on_a_failing_store_fails(resolver: RunningResolver, broken_store: None) -> None:
    answer = await resolver.web.send("DELETE", "/filters/any")
    assert (answer.status, answer.body["title"]) == (404, "Delete Filter Request failed")


@pytest.mark.whitelist("X-B3-1", "listed")
async def test_filters_of_a_package_are_listed(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.add_package(package, "1.0.0")
    label = await resolver.add_filter("TRUE")
    await resolver.attach(package, "1.0.0", label)
    answer = await resolver.web.send("GET", f"/packages/{package}/1.0.0/filters")
    assert (answer.status, answer.body) == (200, [{"name": label, "expression": "TRUE"}])


@pytest.mark.whitelist("X-B3-1", "empty")
async def test_package_without_filters_has_an_empty_list(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.add_package(package, "1.0.0")
    answer = await resolver.web.send("GET", f"/packages/{package}/1.0.0/filters")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B3-1", "package_missing")
async def test_filters_of_an_unknown_package_are_refused(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("GET", "/packages/nowhere/1.0.0/filters")
    assert (answer.status, answer.body["title"]) == (404, "Package ID does not exist")


@pytest.mark.whitelist("X-B3-2", "inserted")
async def test_new_component_is_inserted_also_when_a_vehicle_has_it_already(resolver: RunningResolver) -> None:
    part_number = new_name("TCU")
    await resolver.add_vehicle(components=[part_number])
    answer = await resolver.web.send("POST", "/components", {"part_number": part_number, "description": "A unit"})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("X-B3-2", "component_exists")
async def test_component_that_exists_is_refused(resolver: RunningResolver) -> None:
    part_number = new_name("TCU")
    await resolver.web.send("POST", "/components", {"part_number": part_number})
    answer = await resolver.web.send("POST", "/components", {"part_number": part_number})
    assert (answer.status, answer.body["title"]) == (409, "Component already exists")


@pytest.mark.whitelist("WL-B3-2", "unauthenticated")
async def test_stranger_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.stranger.send("POST", "/vehicles", {"vin": new_vin()})
    assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")


async def test_registration_repeated_under_its_key_gives_the_first_answer(resolver: RunningResolver) -> None:
    vin, key = new_vin(), {"idempotency-key": new_name("key")}
    first = await resolver.web.send("POST", "/vehicles", {"vin": vin}, headers=key)
    again = await resolver.web.send("POST", "/vehicles", {"vin": vin}, headers=key)
    without = await resolver.web.send("POST", "/vehicles", {"vin": vin})
    assert (first.status, again.status, without.status) == (200, 200, 409)
    assert again.body == {"message": "Row Inserted"}


async def test_cycle_of_dependencies_is_refused_when_it_is_declared(resolver: RunningResolver) -> None:
    one, other = new_name("one"), new_name("other")
    await resolver.add_package(one, "1.0.0", (other, "1.0.0"))
    body = {"name": other, "version": "1.2.0", "dependencies": [{"name": one, "version": "0.9.0"}]}
    answer = await resolver.web.send("POST", "/packages", body)
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert f"{other}/1.2.0 needs {one}/1.0.0 needs {other}/1.2.0" in answer.body["detail"]
    await resolver.add_package(other, "1.2.0")


async def test_hundred_dependencies_are_taken_and_one_more_is_not(resolver: RunningResolver) -> None:
    needs = [{"name": f"part{number}", "version": "1.0.0"} for number in range(101)]
    body = {"name": new_name("whole"), "version": "1.0.0", "dependencies": needs}
    refused = await resolver.web.send("POST", "/packages", body)
    taken = await resolver.web.send("POST", "/packages", {**body, "dependencies": needs[:100]})
    assert (refused.status, taken.status) == (400, 200)


async def test_vehicle_that_cannot_get_a_prerequisite_is_left_out(resolver: RunningResolver) -> None:
    package, library = new_name("ivi"), new_name("libtls")
    marker = new_name("MARK")
    has = await resolver.add_vehicle(packages=[(library, "3.0.0")], components=[marker])
    await resolver.add_vehicle(packages=[(library, "2.9.9")], components=[marker])
    await resolver.offer(package, "1.0.0", f'has_component "^{marker}$"', (library, "3.0.0"))
    answer = await resolver.resolve(package, "1.0.0")
    assert [match["vin"] for match in answer.body] == [has]


async def test_filter_that_cannot_be_evaluated_gives_nothing_to_any_vehicle(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.add_vehicle()
    await resolver.offer(package, "1.0.0", "TRUE")
    label = await resolver.add_filter("TRUE")
    await resolver.attach(package, "1.0.0", label)
    broken = tables.filter.update().where(tables.filter.c.name == label).values(expression='vin_matches "("')
    await resolver.db.transact(lambda tx: tx.execute(broken))
    answer = await resolver.resolve(package, "1.0.0")
    assert answer.status == 500
    assert f"The filter {label} cannot be evaluated" in answer.body["detail"]


async def test_pages_of_filters_follow_each_other(resolver: RunningResolver, no_filters: None) -> None:
    labels = {await resolver.add_filter("TRUE") for _ in range(5)}
    seen: list[str] = []
    address: str | None = "/filters?limit=2&regex=filter"
    while address is not None:
        answer = await resolver.web.send("GET", address)
        seen += [one["name"] for one in answer.body]
        link = answer.headers.get("link", "")
        address = link.partition(">")[0].removeprefix("<").removeprefix("/api/v1") if link else None
    assert seen == sorted(labels)


async def test_foreign_packages_are_kept_as_they_are_and_matched(resolver: RunningResolver) -> None:
    foreign, package = new_name("Über Navi (beta)"), new_name("ivi")
    await resolver.add_vehicle(packages=[(foreign, "v7~rc 1 ")])
    vin = await resolver.add_vehicle(packages=[(foreign, "v7~rc 1")])
    await resolver.offer(package, "1.0.0", rf'has_package "^{re.escape(foreign)}$" "^v7~rc 1$"')
    answer = await resolver.resolve(package, "1.0.0")
    assert [match["vin"] for match in answer.body] == [vin]


@pytest.mark.whitelist("X-B3-3", "deleted", "not_found")
async def test_package_is_deleted_with_its_filters_and_dependencies(resolver: RunningResolver) -> None:
    name, library = new_name("ivi"), new_name("lib")
    needs = {"name": name, "version": "2.1.0", "dependencies": [{"name": library, "version": "1.0.0"}]}
    await resolver.web.send("POST", "/packages", needs)
    await resolver.web.send("POST", "/filters", {"name": name, "expression": "TRUE"})
    await resolver.web.send("POST", f"/packages/{name}/2.1.0/filters", {"filter": name})
    answer = await resolver.web.send("DELETE", f"/packages/{name}/2.1.0")
    assert (answer.status, answer.body) == (200, {"message": "Package deleted"})
    answer = await resolver.web.send("DELETE", f"/packages/{name}/2.1.0")
    assert (answer.status, answer.body["title"]) == (404, "Not Found")
    await resolver.web.send("POST", "/packages", {"name": name, "version": "2.1.0"})
    filters = await resolver.web.send("GET", f"/packages/{name}/2.1.0/filters")
    assert (filters.status, filters.body) == (200, [])
    # What it needed is forgotten too: the other way round is no cycle now.
    back = {"name": library, "version": "1.0.0", "dependencies": [{"name": name, "version": "2.1.0"}]}
    assert (await resolver.web.send("POST", "/packages", back)).status == 200


@pytest.mark.whitelist("X-B3-4", "deleted", "not_found")
async def test_vehicle_is_deleted_and_no_filter_finds_it(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle(packages=[("base", "1.0.0")], components=["TCU-5G.2"])
    name = new_name("ivi")
    await resolver.offer(name, "2.1.0", f'vin_matches "{vin}"')
    assert [found["vin"] for found in (await resolver.resolve(name, "2.1.0")).body] == [vin]
    answer = await resolver.web.send("DELETE", f"/vehicles/{vin}")
    assert (answer.status, answer.body) == (200, {"message": "Vehicle deleted"})
    assert (await resolver.resolve(name, "2.1.0")).body == []
    answer = await resolver.web.send("DELETE", f"/vehicles/{vin}")
    assert (answer.status, answer.body["title"]) == (404, "Not Found")
