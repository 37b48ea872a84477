"""The filters of a package: listed, and detached, without widening its target by mistake."""

from __future__ import annotations

import pytest

from sota.boundaries.interaction import Role
from sota.kit.http.client import HttpClient
from tests.support.answer import read
from tests.support.backend import Backend
from tests.support.names import new_name

UNKNOWN = "no-such-package/1.0.0"


async def with_filters(backend: Backend, *expressions: str) -> tuple[str, list[str]]:
    """Upload a package and attach a filter of each expression; return NAME/VERSION and the filters' names."""
    package = await backend.with_package()
    names = sorted([await backend.with_filter(expression) for expression in expressions])
    for name in names:
        answer = await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
        assert answer.status == 200, answer
    return package, names


async def filters_of(backend: Backend, package: str) -> list[str]:
    answer = await backend.ask("GET", f"/api/v1/packages/{package}/filters", role=Role.VIEWER)
    assert answer.status == 200, answer
    return [one["name"] for one in answer.body]


@pytest.mark.whitelist("X-B1-65", "listed", "empty", "package_missing")
@pytest.mark.whitelist("X-B3-1", "listed", "empty", "package_missing")
async def test_filters_of_a_package_are_listed_a_page_at_a_time(backend: Backend) -> None:
    package, names = await with_filters(backend, "TRUE", 'vin_matches "^W"', "NOT FALSE")
    path = f"/api/v1/packages/{package}/filters"
    first = await backend.ask("GET", path, role=Role.VIEWER, query={"limit": "2"})
    cursor = first.headers["link"].partition("cursor=")[2].partition(">")[0]
    second = await backend.ask("GET", path, role=Role.VIEWER, query={"limit": "2", "cursor": cursor})
    assert (first.status, second.status) == (200, 200)
    assert [one["name"] for one in (*first.body, *second.body)] == names
    assert "link" not in second.headers
    assert await filters_of(backend, await backend.with_package()) == []
    missing = await backend.ask("GET", f"/api/v1/packages/{UNKNOWN}/filters")
    assert (missing.status, missing.message) == (404, "Package ID does not exist")


@pytest.mark.whitelist("X-B1-66", "detached", "not_found")
@pytest.mark.whitelist("X-B3-26", "not_found")
async def test_filter_is_detached_and_stays_for_others(backend: Backend) -> None:
    package, (name,) = await with_filters(backend, "TRUE")
    answer = await backend.ask("DELETE", f"/api/v1/packages/{package}/filters/{name}")
    assert (answer.status, answer.message) == (200, "Filter detached")
    assert await filters_of(backend, package) == []
    for path in (f"{package}/filters/{name}", f"{UNKNOWN}/filters/{name}", f"{package}/filters/{new_name('no')}"):
        again = await backend.ask("DELETE", f"/api/v1/packages/{path}")
        assert (again.status, again.message) == (404, "Not Found")
    attached = await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
    assert attached.status == 200


@pytest.mark.whitelist("X-B1-66", "target_widens")
async def test_filter_without_which_more_vehicles_are_meant_is_detached_on_request_alone(backend: Backend) -> None:
    prefix = "ZZX"
    vins = [await backend.with_vehicle(prefix) for _ in range(3)]
    package, names = await with_filters(backend, f'vin_matches "^{prefix}"', f'vin_matches "^{vins[0]}$"')
    shown = await backend.ask("GET", f"/api/v1/packages/{package}/filters")
    narrow = next(one["name"] for one in shown.body if vins[0] in one["expression"])
    wide = next(name for name in names if name != narrow)
    path = f"/api/v1/packages/{package}/filters"
    refused = await backend.ask("DELETE", f"{path}/{narrow}")
    assert (refused.status, refused.message) == (409, "Target would be widened")
    assert f"{package} goes to 2 vehicles more" in refused.body["detail"]
    assert await filters_of(backend, package) == names
    # The other one may go: without it no vehicle more is meant.
    assert (await backend.ask("DELETE", f"{path}/{wide}")).status == 200
    await backend.ask("POST", path, {"filter": wide})
    odd = await backend.ask("DELETE", f"{path}/{narrow}", query={"widen": "yes"})
    assert odd.status == 400
    assert (await backend.ask("DELETE", f"{path}/{narrow}", query={"widen": "true"})).status == 200
    assert await filters_of(backend, package) == [wide]


@pytest.mark.whitelist("X-B3-26", "unauthenticated")
async def test_resolver_detaches_for_the_web_server_alone(backend: Backend) -> None:
    package, (name,) = await with_filters(backend, "TRUE")
    stranger = HttpClient(f"http://127.0.0.1:{backend.resolver.port}", "a token that was not issued")
    answer = read(await stranger.request("DELETE", f"/api/v1/packages/{package}/filters/{name}"))
    await stranger.close()
    assert (answer.status, answer.message) == (404, "Authentication Failed")
    assert await filters_of(backend, package) == [name]


@pytest.mark.whitelist("WL-B1-25", "target_widens")
async def test_filter_without_which_packages_go_to_more_vehicles_is_deleted_on_request_alone(backend: Backend) -> None:
    prefix = "ZZY"
    vins = [await backend.with_vehicle(prefix) for _ in range(3)]
    narrow, wide = await backend.with_filter(f'vin_matches "^{vins[0]}$"'), await backend.with_filter()
    packages = [await backend.with_package() for _ in range(2)]
    for package in packages:
        for name in (narrow, wide):
            await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})

    refused = await backend.ask("DELETE", f"/api/v1/filters/{narrow}")

    assert (refused.status, refused.message) == (409, "Target would be widened")
    for package in packages:
        assert f"{package} goes to " in refused.body["detail"]
        assert await filters_of(backend, package) == sorted([narrow, wide])
    assert (await backend.ask("DELETE", f"/api/v1/filters/{narrow}", query={"widen": "yes"})).status == 400
    # Without the other one no vehicle more is meant; and alone, a filter may go: the package then goes to no vehicle.
    assert (await backend.ask("DELETE", f"/api/v1/filters/{wide}")).status == 200
    assert (await backend.ask("DELETE", f"/api/v1/filters/{narrow}")).status == 200
    assert await filters_of(backend, packages[0]) == []


async def test_filter_is_deleted_although_packages_go_to_more_vehicles_where_that_is_meant(backend: Backend) -> None:
    vin = await backend.with_vehicle("ZZW")
    narrow, wide = await backend.with_filter("FALSE"), await backend.with_filter(f'vin_matches "{vin}"')
    package = await backend.with_package()
    for name in (narrow, wide):
        await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
    refused = await backend.ask("DELETE", f"/api/v1/filters/{narrow}")
    assert f"{package} goes to 1 vehicles more" in refused.body["detail"]
    assert (await backend.ask("DELETE", f"/api/v1/filters/{narrow}", query={"widen": "true"})).status == 200
    assert await filters_of(backend, package) == [wide]
