"""B1: vehicles, what is installed on them, and components, through the real Web Server, Core and Resolver."""

from __future__ import annotations

import pytest

from tests.support.backend import Backend
from tests.support.names import new_name, new_vin


@pytest.mark.whitelist("WL-B1-4", "inserted")
async def test_new_vin_is_inserted(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/vehicles", {"vin": new_vin()})
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B1-4", "vin_exists")
async def test_known_vin_is_refused(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    answer = await backend.ask("POST", "/api/v1/vehicles", {"vin": vin})
    assert (answer.status, answer.message) == (409, "VIN already exists")
    assert answer.body["interaction"] == "WL-B1-4"


@pytest.mark.parametrize(
    "vin", ["WVW", "wvwzzz1kz7w000001", "WVWZZZ1KZ7W00000", "WVWZZZ1KZ7W0000011", "WVWZZZ1KZ7W00000\n"]
)
async def test_malformed_vin_is_a_bad_request(backend: Backend, vin: str) -> None:
    answer = await backend.ask("POST", "/api/v1/vehicles", {"vin": vin})
    assert answer.status == 400


@pytest.mark.whitelist("WL-B1-20", "listed")
async def test_search_vins_lists_those_that_match(backend: Backend) -> None:
    vin = await backend.with_vehicle("SRCH")
    await backend.with_vehicle("OTHR")
    answer = await backend.ask("GET", "/api/v1/vehicles", query={"regex": f"^{vin}$"})
    assert answer.status == 200
    assert [vehicle["vin"] for vehicle in answer.body] == [vin]


@pytest.mark.whitelist("WL-B1-20", "empty")
async def test_search_vins_without_a_match_is_an_empty_list(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/vehicles", query={"regex": "^ABSENT"})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B1-20", "failed")
async def test_search_vins_with_a_broken_regex_fails(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/vehicles", query={"regex": "("})
    assert (answer.status, answer.message) == (404, "Search VINs Request failed")


async def test_vins_are_listed_with_what_they_have_where_that_is_asked_for(backend: Backend) -> None:
    vins = sorted([await backend.with_vehicle("HAVE") for _ in range(2)])
    packages = [{"name": "ivi", "version": "2.1.0"}, {"name": "kernel", "version": "6.1-9"}]
    await backend.ask("PUT", f"/api/v1/vehicles/{vins[0]}/packages", packages)
    query = {"regex": "^HAVE", "packages": "true"}
    answer = await backend.ask("GET", "/api/v1/vehicles", query=query)
    assert [(vehicle["vin"], vehicle["packages"]) for vehicle in answer.body] == [(vins[0], packages), (vins[1], [])]
    first = await backend.ask("GET", "/api/v1/vehicles", query={**query, "limit": "1"})
    link = first.headers["link"]
    second = await backend.ask("GET", link[1 : link.index(">")])
    assert [(vehicle["vin"], vehicle["packages"]) for vehicle in second.body] == [(vins[1], [])]
    plain = await backend.ask("GET", "/api/v1/vehicles", query={"regex": "^HAVE"})
    assert all("packages" not in vehicle for vehicle in plain.body)
    odd = await backend.ask("GET", "/api/v1/vehicles", query={"packages": "yes"})
    assert (odd.status, odd.body["detail"]) == (400, "packages must be true or false, not 'yes'.")


async def test_vins_are_paged(backend: Backend) -> None:
    vins = sorted([await backend.with_vehicle("PAGE") for _ in range(3)])
    first = await backend.ask("GET", "/api/v1/vehicles", query={"regex": "^PAGE", "limit": "2"})
    assert [vehicle["vin"] for vehicle in first.body] == vins[:2]
    link = first.headers["link"]
    assert link.endswith('>; rel="next"')
    second = await backend.ask("GET", link[1 : link.index(">")])
    assert [vehicle["vin"] for vehicle in second.body] == vins[2:]
    assert "link" not in second.headers


@pytest.mark.whitelist("WL-B1-26", "changed")
async def test_update_packages_of_a_vin_gives_them_back(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    installed = [{"name": "brakes", "version": "1.2.3"}, {"name": "libfoo", "version": "7.4-2+b1"}]
    answer = await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", installed)
    assert answer.status == 200
    assert sorted(answer.body, key=lambda package: package["name"]) == installed


@pytest.mark.whitelist("WL-B1-26", "vin_missing")
async def test_update_packages_of_an_unknown_vin_is_refused(backend: Backend) -> None:
    answer = await backend.ask("PUT", f"/api/v1/vehicles/{new_vin()}/packages", [])
    assert (answer.status, answer.message) == (409, "VIN does not exist")


@pytest.mark.whitelist("WL-B1-26", "failed")
async def test_update_packages_fails_with_a_package_that_stands_twice(backend: Backend) -> None:
    twice = [{"name": "brakes", "version": "1.2.3"}] * 2
    answer = await backend.ask("PUT", f"/api/v1/vehicles/{await backend.with_vehicle()}/packages", twice)
    assert (answer.status, answer.message) == (404, "Update Packages per VIN Request failed")


@pytest.mark.whitelist("WL-B1-27", "found")
async def test_view_packages_of_a_vin(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    installed = [{"name": "brakes", "version": "1.2.3"}]
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", installed)
    answer = await backend.ask("GET", f"/api/v1/vehicles/{vin}/packages")
    assert (answer.status, answer.body) == (200, installed)


@pytest.mark.whitelist("WL-B1-27", "vin_missing")
async def test_view_packages_of_an_unknown_vin_is_refused(backend: Backend) -> None:
    answer = await backend.ask("GET", f"/api/v1/vehicles/{new_vin()}/packages")
    assert (answer.status, answer.message) == (409, "VIN does not exist")


@pytest.mark.whitelist("WL-B1-27", "failed")
async def test_view_packages_fails_with_a_bad_cursor(backend: Backend) -> None:
    path = f"/api/v1/vehicles/{await backend.with_vehicle()}/packages"
    answer = await backend.ask("GET", path, query={"cursor": "never-returned"})
    assert (answer.status, answer.message) == (404, "View Packages per VIN Request failed")
    assert "127.0.0.1" not in answer.body["detail"]


@pytest.mark.whitelist("WL-B1-28", "found")
async def test_view_vins_of_a_package(backend: Backend) -> None:
    vin, package = await backend.with_vehicle(), await backend.with_package()
    name, version = package.split("/")
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [{"name": name, "version": version}])
    answer = await backend.ask("GET", f"/api/v1/packages/{package}/vehicles")
    assert (answer.status, answer.body) == (200, [vin])


@pytest.mark.whitelist("WL-B1-28", "package_not_found")
async def test_view_vins_of_an_unknown_package_is_refused(backend: Backend) -> None:
    answer = await backend.ask("GET", f"/api/v1/packages/{new_name('unknown')}/1.0.0/vehicles")
    assert (answer.status, answer.message) == (409, "Package does not exist")


@pytest.mark.whitelist("WL-B1-28", "failed")
async def test_view_vins_of_a_package_with_a_bad_cursor_fails(backend: Backend) -> None:
    package = await backend.with_package()
    answer = await backend.ask("GET", f"/api/v1/packages/{package}/vehicles", query={"cursor": "nonsense"})
    assert (answer.status, answer.message) == (404, "View VINs per Package Request failed")


@pytest.mark.whitelist("WL-B1-29", "inserted")
async def test_new_component_is_inserted(backend: Backend) -> None:
    component = {"part_number": new_name("TCU"), "description": "Telematics", "name": "Telematics unit"}
    answer = await backend.ask("POST", "/api/v1/components", component)
    assert (answer.status, answer.body) == (200, {"message": "Row Inserted"})


@pytest.mark.whitelist("WL-B1-29", "component_exists")
async def test_known_component_is_refused(backend: Backend) -> None:
    component = {"part_number": new_name("TCU"), "description": "Telematics"}
    await backend.ask("POST", "/api/v1/components", component)
    answer = await backend.ask("POST", "/api/v1/components", component)
    assert (answer.status, answer.message) == (409, "Component already exists")


@pytest.mark.whitelist("WL-B1-30", "listed")
async def test_search_components_by_regex_ids_and_name(backend: Backend) -> None:
    first, second, name = new_name("ECU"), new_name("ECU"), new_name("unit")
    await backend.ask("POST", "/api/v1/components", {"part_number": first, "description": "", "name": name})
    await backend.ask("POST", "/api/v1/components", {"part_number": second, "description": ""})
    found = {}
    for query in ({"regex": f"^{first}$"}, {"id": f"{first},{second}"}, {"name": name}):
        answer = await backend.ask("GET", "/api/v1/components", query=query)
        assert answer.status == 200
        found[next(iter(query))] = sorted(component["part_number"] for component in answer.body)
    assert found == {"regex": [first], "id": sorted([first, second]), "name": [first]}


@pytest.mark.whitelist("WL-B1-30", "empty")
async def test_search_components_without_a_match_is_an_empty_list(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/components", query={"regex": "^nothing$"})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("WL-B1-30", "failed")
async def test_search_components_with_a_broken_regex_fails(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/components", query={"regex": "["})
    assert (answer.status, answer.message) == (404, "Search Components Request failed")


@pytest.mark.whitelist("X-B1-1", "found")
async def test_a_vehicle_is_shown_with_what_is_in_it(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [{"name": "brakes", "version": "1.2.3"}])
    answer = await backend.ask("GET", f"/api/v1/vehicles/{vin}")
    assert answer.status == 200
    assert (answer.body["vin"], answer.body["packages"]) == (vin, [{"name": "brakes", "version": "1.2.3"}])


@pytest.mark.whitelist("X-B1-1", "not_found")
async def test_an_unknown_vehicle_is_not_found(backend: Backend) -> None:
    answer = await backend.ask("GET", f"/api/v1/vehicles/{new_vin()}")
    assert (answer.status, answer.message) == (404, "Not Found")
