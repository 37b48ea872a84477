"""B3: the filters of a package are taken away, and its target is not widened by mistake."""

from __future__ import annotations

import pytest

from tests.support.names import new_name
from tests.support.resolver import RunningResolver

pytestmark = pytest.mark.anyio


async def narrowed(resolver: RunningResolver) -> tuple[str, str, str]:
    """Attach two filters to a package, for two vehicles and for one of them; return package, narrow one, wide one."""
    vins = [await resolver.add_vehicle() for _ in range(2)]
    package = new_name("ivi")
    await resolver.add_package(package, "1.0.0")
    wide = await resolver.add_filter(f'vin_matches "^({"|".join(vins)})$"')
    narrow = await resolver.add_filter(f'vin_matches "^{vins[0]}$"')
    for name in (wide, narrow):
        await resolver.attach(package, "1.0.0", name)
    return package, narrow, wide


async def filters_of(resolver: RunningResolver, package: str) -> list[str]:
    return [one["name"] for one in (await resolver.web.send("GET", f"/packages/{package}/1.0.0/filters")).body]


@pytest.mark.whitelist("X-B3-26", "detached", "target_widens")
async def test_filter_is_detached_where_no_vehicle_more_is_meant_or_widening_is(resolver: RunningResolver) -> None:
    package, narrow, wide = await narrowed(resolver)
    path = f"/packages/{package}/1.0.0/filters"
    refused = await resolver.web.send("DELETE", f"{path}/{narrow}")
    assert (refused.status, refused.message) == (409, "Target would be widened")
    assert f"{package}/1.0.0 goes to 1 vehicles more" in refused.body["detail"]
    assert await filters_of(resolver, package) == sorted([narrow, wide])
    detached = await resolver.web.send("DELETE", f"{path}/{wide}")
    assert (detached.status, detached.message) == (200, "Filter detached")
    await resolver.attach(package, "1.0.0", wide)
    widened = await resolver.web.send("DELETE", f"{path}/{narrow}", query={"widen": "true"})
    assert (widened.status, widened.message) == (200, "Filter detached")
    assert await filters_of(resolver, package) == [wide]


@pytest.mark.whitelist("WL-B3-9", "target_widens")
async def test_filter_is_not_deleted_where_packages_would_go_to_more_vehicles(resolver: RunningResolver) -> None:
    package, narrow, wide = await narrowed(resolver)
    refused = await resolver.web.send("DELETE", f"/filters/{narrow}")
    assert (refused.status, refused.message) == (409, "Target would be widened")
    assert f"{package}/1.0.0 goes to 1 vehicles more" in refused.body["detail"]
    assert await filters_of(resolver, package) == sorted([narrow, wide])
