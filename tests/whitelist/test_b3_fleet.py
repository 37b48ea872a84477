"""B3, Web Server to External Resolver: attributes and groups of vehicles, against the real program and its database."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver, running_resolver

pytestmark = pytest.mark.anyio


async def matching(resolver: RunningResolver, expression: str) -> set[str]:
    name = new_name("ivi")
    await resolver.offer(name, "1.0.0", expression)
    answer = await resolver.resolve(name, "1.0.0")
    assert answer.status == 200, answer.body
    return {found["vin"] for found in answer.body}


async def new_group(resolver: RunningResolver, *vins: str) -> str:
    name = new_name("group")
    assert (await resolver.web.send("PUT", f"/groups/{name}", {"description": "of a test"})).status == 200
    if vins:
        answer = await resolver.web.send("PUT", f"/groups/{name}/vehicles", list(vins))
        assert (answer.status, answer.body["changed"]) == (200, len(vins))
    return name


@pytest.mark.whitelist("X-B3-5", "found")
@pytest.mark.whitelist("X-B3-6", "changed")
async def test_attributes_are_kept_and_found_by_filters(resolver: RunningResolver) -> None:
    vin, other, name = await resolver.add_vehicle(), await resolver.add_vehicle(), new_name("region")
    none = await resolver.web.send("GET", f"/vehicles/{vin}/attributes")
    assert (none.status, none.body) == (200, {})
    changed = await resolver.web.send("PUT", f"/vehicles/{vin}/attributes", {name: "EU", "trim": "GTI é"})
    assert (changed.status, changed.body) == (200, {name: "EU", "trim": "GTI é"})
    await resolver.web.send("PUT", f"/vehicles/{other}/attributes", {name: "US"})
    assert await matching(resolver, f'attribute "{name}" "^E"') == {vin}
    await resolver.web.send("PUT", f"/vehicles/{vin}/attributes", {name: "US"})
    kept = await resolver.web.send("GET", f"/vehicles/{vin}/attributes")
    assert (kept.status, kept.body) == (200, {name: "US"})
    assert await matching(resolver, f'attribute "{name}" "^US$"') == {vin, other}
    assert await matching(resolver, f'attribute "{name}" "^E"') == set()


@pytest.mark.whitelist("X-B3-5", "not_found")
@pytest.mark.whitelist("X-B3-6", "not_found")
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", {})])
async def test_unknown_vehicle_has_no_attributes(resolver: RunningResolver, method: str, body: Any) -> None:
    answer = await resolver.web.send(method, f"/vehicles/{new_vin()}/attributes", body)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")


@pytest.mark.parametrize(
    "attributes",
    [{"a b": "x"}, {"": "x"}, {"a": ""}, {"a": "x" * 129}, {"a": "x\n"}, {f"a{n}": "x" for n in range(65)}],
)
async def test_attributes_over_their_limits_are_refused(resolver: RunningResolver, attributes: Any) -> None:
    vin = await resolver.add_vehicle()
    assert (await resolver.web.send("PUT", f"/vehicles/{vin}/attributes", attributes)).status == 400


@pytest.mark.whitelist("X-B3-8", "found")
@pytest.mark.whitelist("X-B3-9", "kept")
async def test_group_is_made_and_changed(resolver: RunningResolver) -> None:
    name = new_name("group")
    made = await resolver.web.send("PUT", f"/groups/{name}", {"description": "Drivers who try first"})
    assert (made.status, made.body) == (200, {"name": name, "vehicles": 0, "description": "Drivers who try first"})
    await resolver.web.send("PUT", f"/groups/{name}/vehicles", [await resolver.add_vehicle()])
    changed = await resolver.web.send("PUT", f"/groups/{name}", {"description": "Others"})
    assert changed.body == {"name": name, "vehicles": 1, "description": "Others"}
    found = await resolver.web.send("GET", f"/groups/{name}")
    assert (found.status, found.body) == (200, changed.body)


async def test_bad_name_of_a_group_is_refused(resolver: RunningResolver) -> None:
    assert (await resolver.web.send("PUT", "/groups/a%20b", {})).status == 400
    assert (await resolver.web.send("PUT", f"/groups/{'x' * 65}", {})).status == 400


@pytest.mark.whitelist("X-B3-7", "listed", "empty")
async def test_groups_are_listed_by_name(database_url: str, tmp_path: Any) -> None:
    async with running_resolver(database_url, tmp_path) as resolver:
        for group in (await resolver.web.send("GET", "/groups", query={"limit": "1000"})).body:
            assert (await resolver.web.send("DELETE", f"/groups/{group['name']}")).status == 200
        none = await resolver.web.send("GET", "/groups")
        assert (none.status, none.body) == (200, [])
        names = sorted([await new_group(resolver), await new_group(resolver)])
        page = await resolver.web.send("GET", "/groups", query={"limit": "1"})
        assert ([group["name"] for group in page.body], "link" in page.headers) == (names[:1], True)
        both = await resolver.web.send("GET", "/groups")
        assert (both.status, [group["name"] for group in both.body]) == (200, names)


@pytest.mark.whitelist("X-B3-11", "listed", "empty")
@pytest.mark.whitelist("X-B3-12", "changed")
@pytest.mark.whitelist("X-B3-13", "changed")
async def test_vehicles_join_and_leave_a_group(resolver: RunningResolver) -> None:
    vins, stranger = sorted([await resolver.add_vehicle() for _ in range(3)]), new_vin()
    group = await new_group(resolver)
    none = await resolver.web.send("GET", f"/groups/{group}/vehicles")
    assert (none.status, none.body) == (200, [])
    assert await matching(resolver, f'in_group "{group}"') == set()
    joined = await resolver.web.send("PUT", f"/groups/{group}/vehicles", [*vins, stranger, vins[0]])
    assert (joined.status, joined.body) == (200, {"changed": 3, "unknown": [stranger]})
    again = await resolver.web.send("PUT", f"/groups/{group}/vehicles", vins[:1])
    assert again.body == {"changed": 0, "unknown": []}
    page = await resolver.web.send("GET", f"/groups/{group}/vehicles", query={"limit": "2"})
    assert (page.status, page.body, "link" in page.headers) == (200, vins[:2], True)
    assert await matching(resolver, f'in_group("{group}")') == set(vins)
    left = await resolver.web.send("DELETE", f"/groups/{group}/vehicles", [vins[1], stranger])
    assert (left.status, left.body) == (200, {"changed": 1, "unknown": [stranger]})
    assert await matching(resolver, f'in_group "{group}"') == {vins[0], vins[2]}
    await resolver.core.tell({"fact": "vehicle_retired", "vin": vins[0]})
    assert (await resolver.web.send("GET", f"/groups/{group}")).body["vehicles"] == 1


@pytest.mark.whitelist("X-B3-10", "deleted", "group_in_use")
async def test_group_that_a_filter_asks_for_is_not_deleted(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle()
    group = await new_group(resolver, vin)
    label = await resolver.add_filter(f'vin_matches "^{vin}$" AND NOT in_group "{group}"')
    await resolver.add_filter(f'vin_matches "{group}" // no group')
    refused = await resolver.web.send("DELETE", f"/groups/{group}")
    assert (refused.status, refused.body["title"]) == (409, "Group is in use")
    assert label in refused.body["detail"]
    await resolver.web.send("PUT", f"/filters/{label}", {"expression": "FALSE"})
    deleted = await resolver.web.send("DELETE", f"/groups/{group}")
    assert (deleted.status, deleted.body) == (200, {"message": "Group deleted"})
    # Under the same name there may be another group; the vehicles of the old one are not in it.
    await resolver.web.send("PUT", f"/groups/{group}", {})
    assert await matching(resolver, f'in_group "{group}"') == set()


@pytest.mark.whitelist("WL-B3-4", "filter_invalid")
@pytest.mark.whitelist("WL-B3-8", "filter_invalid")
async def test_filter_that_asks_for_a_group_in_vain_is_not_saved(resolver: RunningResolver) -> None:
    body = {"name": new_name("filter"), "expression": 'TRUE AND\nNOT in_group "nowhere"'}
    refused = await resolver.web.send("POST", "/filters", body)
    assert (refused.status, refused.body["title"]) == (406, "Filter failed validation")
    assert refused.body["detail"] == "line 2, column 5: there is no group 'nowhere': make it first."
    label = await resolver.add_filter("TRUE")
    changed = await resolver.web.send("PUT", f"/filters/{label}", {"expression": 'in_group "nowhere"'})
    assert (changed.status, changed.body["title"]) == (406, "Filter failed validation")


@pytest.mark.whitelist("X-B3-8", "not_found")
@pytest.mark.whitelist("X-B3-10", "not_found")
@pytest.mark.whitelist("X-B3-11", "not_found")
@pytest.mark.whitelist("X-B3-12", "not_found")
@pytest.mark.whitelist("X-B3-13", "not_found")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/vehicles", None),
        ("PUT", "/vehicles", ["WVWZZZ1KZ00000001"]),
        ("DELETE", "/vehicles", ["WVWZZZ1KZ00000001"]),
    ],
)
async def test_unknown_group_is_told(resolver: RunningResolver, method: str, path: str, body: Any) -> None:
    answer = await resolver.web.send(method, f"/groups/nowhere{path}", body)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")


@pytest.mark.parametrize("path", ["preview", "validate", "format"])
async def test_filter_may_be_called_as_a_path_is(resolver: RunningResolver, path: str) -> None:
    await resolver.web.send("POST", "/filters", {"name": path, "expression": "TRUE"})
    assert (await resolver.web.send("PUT", f"/filters/{path}", {"expression": "FALSE"})).status == 200
    assert (await resolver.web.send("DELETE", f"/filters/{path}")).status == 200
