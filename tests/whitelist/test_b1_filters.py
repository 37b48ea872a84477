"""B1: filters and their packages, through the real Web Server and Resolver."""

from __future__ import annotations

import pytest

from tests.support.backend import Backend
from tests.support.names import new_name
from tests.support.store_faults import table_away


@pytest.mark.whitelist("WL-B1-6", "inserted")
async def test_new_filter_is_inserted(backend: Backend) -> None:
    new = {"name": new_name("filter"), "expression": 'vin_matches "^WVW"'}
    answer = await backend.ask("POST", "/api/v1/filters", new)
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B1-6", "filter_exists")
async def test_known_filter_is_refused(backend: Backend) -> None:
    name = await backend.with_filter()
    answer = await backend.ask("POST", "/api/v1/filters", {"name": name, "expression": "FALSE"})
    assert (answer.status, answer.message) == (409, "Filter already exists")


@pytest.mark.whitelist("WL-B1-6", "filter_invalid")
async def test_filter_that_does_not_parse_is_not_acceptable(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/filters", {"name": new_name("filter"), "expression": "vin_matches ("})
    assert (answer.status, answer.message) == (406, "Filter failed validation")
    assert answer.body["code"] == "filter_invalid"


@pytest.mark.parametrize("expression", ["", " ", "\n\t"])
async def test_empty_expression_is_not_acceptable(backend: Backend, expression: str) -> None:
    created = await backend.ask("POST", "/api/v1/filters", {"name": new_name("filter"), "expression": expression})
    changed = await backend.ask("PUT", f"/api/v1/filters/{await backend.with_filter()}", {"expression": expression})
    asked = {"vin": await backend.with_vehicle(), "expression": expression}
    explained = await backend.ask("POST", "/api/v1/resolve/explain", asked)
    for answer in (created, changed, explained):
        assert (answer.status, answer.message) == (406, "Filter failed validation")


@pytest.mark.whitelist("WL-B1-7", "inserted")
async def test_filter_is_associated_with_a_package(backend: Backend) -> None:
    package, name = await backend.with_package(), await backend.with_filter()
    answer = await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B1-7", "association_exists")
async def test_known_association_is_refused(backend: Backend) -> None:
    package, name = await backend.with_package(), await backend.with_filter()
    await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
    answer = await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
    assert (answer.status, answer.message) == (409, "Filter/Package association already exists")


@pytest.mark.whitelist("WL-B1-7", "filter_label_missing", "package_missing")
async def test_association_needs_filter_and_package(backend: Backend) -> None:
    package, name = await backend.with_package(), await backend.with_filter()
    no_filter = await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": new_name("filter")})
    no_package = await backend.ask("POST", "/api/v1/packages/unknown/1.0.0/filters", {"filter": name})
    assert (no_filter.status, no_filter.message) == (404, "Filter label does not exist")
    assert (no_package.status, no_package.message) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B1-22", "listed")
async def test_search_filters_lists_those_that_match(backend: Backend) -> None:
    name = await backend.with_filter('has_component "^TCU-"')
    answer = await backend.ask("GET", "/api/v1/filters", query={"regex": f"^{name}$"})
    assert (answer.status, answer.body) == (200, [{"name": name, "expression": 'has_component "^TCU-"'}])


@pytest.mark.whitelist("WL-B1-22", "empty")
async def test_search_filters_without_a_match_is_an_empty_list(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/filters", query={"regex": "^nothing$"})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B1-22", "failed")
async def test_search_filters_with_a_broken_regex_fails(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/filters", query={"regex": "("})
    assert (answer.status, answer.message) == (404, "Search Filters Request failed")
    assert answer.body["interaction"] == "WL-B1-22"


@pytest.mark.whitelist("WL-B1-23", "listed")
async def test_list_filters_lists_what_is_available(backend: Backend) -> None:
    name = await backend.with_filter()
    answer = await backend.ask("GET", "/api/v1/filters", query={"limit": "1000"})
    assert answer.status == 200
    assert name in [available["name"] for available in answer.body]


@pytest.mark.whitelist("WL-B1-23", "empty")
async def test_list_filters_without_any_is_an_empty_list(backend: Backend) -> None:
    while True:
        available = await backend.ask("GET", "/api/v1/filters", query={"limit": "1000"})
        if not available.body:
            break
        for one in available.body:
            await backend.ask("DELETE", f"/api/v1/filters/{one['name']}")
    answer = await backend.ask("GET", "/api/v1/filters")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B1-23", "failed")
async def test_list_filters_with_a_bad_cursor_fails(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/filters", query={"cursor": "nonsense"})
    assert (answer.status, answer.message) == (404, "List Filters Request failed")
    assert answer.body["interaction"] == "WL-B1-23"


@pytest.mark.whitelist("WL-B1-24", "updated")
async def test_update_filter_gives_the_available_filters(backend: Backend) -> None:
    name = await backend.with_filter("TRUE")
    answer = await backend.ask("PUT", f"/api/v1/filters/{name}", {"expression": "FALSE"})
    assert answer.status == 200
    assert {"name": name, "expression": "FALSE"} in answer.body


@pytest.mark.whitelist("WL-B1-24", "filter_missing")
async def test_update_of_an_unknown_filter_is_refused(backend: Backend) -> None:
    answer = await backend.ask("PUT", f"/api/v1/filters/{new_name('filter')}", {"expression": "FALSE"})
    assert (answer.status, answer.message) == (409, "Filter does not exist")


@pytest.mark.whitelist("WL-B1-24", "failed")
async def test_update_filter_fails_where_the_store_refuses(backend: Backend) -> None:
    async with table_away(backend.resolver.db, "filter"):
        answer = await backend.ask("PUT", "/api/v1/filters/some-filter", {"expression": "FALSE"})
    assert (answer.status, answer.message) == (404, "Update Filter Request failed")


@pytest.mark.whitelist("WL-B1-24", "filter_invalid")
async def test_update_with_an_invalid_expression_is_not_acceptable(backend: Backend) -> None:
    name = await backend.with_filter()
    answer = await backend.ask("PUT", f"/api/v1/filters/{name}", {"expression": "NOT"})
    assert (answer.status, answer.message) == (406, "Filter failed validation")


@pytest.mark.whitelist("WL-B1-25", "deleted")
async def test_delete_filter_gives_the_available_filters(backend: Backend) -> None:
    name, other = await backend.with_filter(), await backend.with_filter()
    answer = await backend.ask("DELETE", f"/api/v1/filters/{name}")
    assert answer.status == 200
    names = [available["name"] for available in answer.body]
    assert (name in names, other in names) == (False, True)


@pytest.mark.whitelist("WL-B1-25", "filter_missing")
async def test_delete_of_an_unknown_filter_is_refused(backend: Backend) -> None:
    answer = await backend.ask("DELETE", f"/api/v1/filters/{new_name('filter')}")
    assert (answer.status, answer.message) == (409, "Filter does not exist")


@pytest.mark.whitelist("WL-B1-25", "failed")
async def test_delete_filter_fails_where_the_store_refuses(backend: Backend) -> None:
    async with table_away(backend.resolver.db, "filter"):
        answer = await backend.ask("DELETE", "/api/v1/filters/some-filter")
    assert (answer.status, answer.message) == (404, "Delete Filter Request failed")
