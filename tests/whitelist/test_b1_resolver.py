"""B1: attributes, groups, dependencies, explanations, previews and recorded resolutions, through the real programs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.interaction import Role
from sota.boundaries.values import PackageId
from sota.kit.http.client import HttpClient
from sota.kit.runtime.clock import new_id
from tests.support.backend import Backend, Server
from tests.support.names import new_name, new_vin

UNKNOWN = "01890000-0000-7000-8000-000000000000"


def pair(text: str) -> dict[str, str]:
    name, version = text.split("/")
    return {"name": name, "version": version}


async def recorded(backend: Backend, package: str) -> str:
    """Resolve a package as Core does, under a new id."""
    id, (name, version) = str(new_id()), package.split("/")
    token = (backend.folder / "core-resolver.token").read_text()
    client = HttpClient(f"http://127.0.0.1:{backend.resolver.port}", token)
    async for _found in FactsClient(client).resolve(PackageId(name=name, version=version), id):
        pass
    await client.close()
    return id


@pytest.mark.whitelist("X-B1-24", "found")
@pytest.mark.whitelist("X-B1-25", "changed")
async def test_attributes_of_a_vehicle_are_changed_by_operators(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    path = f"/api/v1/vehicles/{vin}/attributes"
    changed = await backend.ask("PUT", path, {"region": "EU"})
    assert (changed.status, changed.body) == (200, {"region": "EU"})
    found = await backend.ask("GET", path, role=Role.VIEWER)
    assert (found.status, found.body) == (200, {"region": "EU"})
    assert (await backend.ask("PUT", path, {}, role=Role.VIEWER)).status == 403


@pytest.mark.whitelist("X-B1-26", "listed")
@pytest.mark.whitelist("X-B1-27", "found")
@pytest.mark.whitelist("X-B1-28", "kept")
@pytest.mark.whitelist("X-B1-29", "deleted", "group_in_use")
@pytest.mark.whitelist("X-B1-30", "listed", "empty")
@pytest.mark.whitelist("X-B1-31", "changed")
@pytest.mark.whitelist("X-B1-32", "changed")
async def test_group_is_made_filled_used_and_deleted(backend: Backend) -> None:
    name, vin = new_name("group"), await backend.with_vehicle()
    path = f"/api/v1/groups/{name}"
    kept = await backend.ask("PUT", path, {"description": "Drivers who try first"})
    assert (kept.status, kept.body["vehicles"]) == (200, 0)
    none = await backend.ask("GET", f"{path}/vehicles")
    assert (none.status, none.body) == (200, [])
    joined = await backend.ask("PUT", f"{path}/vehicles", [vin])
    assert (joined.status, joined.body) == (200, {"changed": 1, "unknown": []})
    members = await backend.ask("GET", f"{path}/vehicles", role=Role.VIEWER)
    assert (members.status, members.body) == (200, [vin])
    listed = await backend.ask("GET", "/api/v1/groups", query={"limit": "1000"})
    assert (listed.status, name in [group["name"] for group in listed.body]) == (200, True)
    found = await backend.ask("GET", path)
    assert (found.status, found.body["vehicles"]) == (200, 1)
    label = await backend.with_filter(f'in_group "{name}"')
    refused = await backend.ask("DELETE", path)
    assert (refused.status, refused.message) == (409, "Group is in use")
    await backend.ask("DELETE", f"/api/v1/filters/{label}")
    left = await backend.ask("DELETE", f"{path}/vehicles", [vin])
    assert (left.status, left.body["changed"]) == (200, 1)
    deleted = await backend.ask("DELETE", path)
    assert (deleted.status, deleted.message) == (200, "Group deleted")


@pytest.mark.whitelist("X-B1-26", "empty")
async def test_without_groups_the_list_is_empty(backend: Backend) -> None:
    for group in (await backend.ask("GET", "/api/v1/groups", query={"limit": "1000"})).body:
        assert (await backend.ask("DELETE", f"/api/v1/groups/{group['name']}")).status == 200
    answer = await backend.ask("GET", "/api/v1/groups")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B1-24", "not_found")
@pytest.mark.whitelist("X-B1-25", "not_found")
@pytest.mark.whitelist("X-B1-27", "not_found")
@pytest.mark.whitelist("X-B1-29", "not_found")
@pytest.mark.whitelist("X-B1-30", "not_found")
@pytest.mark.whitelist("X-B1-31", "not_found")
@pytest.mark.whitelist("X-B1-32", "not_found")
@pytest.mark.whitelist("X-B1-61", "not_found")
@pytest.mark.whitelist("X-B1-62", "not_found")
@pytest.mark.whitelist("X-B1-63", "not_found")
@pytest.mark.whitelist("X-B1-64", "not_found")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "vehicles/WVWZZZ9ZZ9Z999999/attributes", None),
        ("PUT", "vehicles/WVWZZZ9ZZ9Z999999/attributes", {}),
        ("GET", "groups/nowhere", None),
        ("DELETE", "groups/nowhere", None),
        ("GET", "groups/nowhere/vehicles", None),
        ("PUT", "groups/nowhere/vehicles", ["WVWZZZ9ZZ9Z999999"]),
        ("DELETE", "groups/nowhere/vehicles", ["WVWZZZ9ZZ9Z999999"]),
        ("GET", f"resolutions/{UNKNOWN}", None),
        ("GET", f"resolutions/{UNKNOWN}/vehicles", None),
        ("GET", f"resolutions/{UNKNOWN}/left-out", None),
        ("GET", f"resolutions/{UNKNOWN}/difference", None),
    ],
)
async def test_what_is_not_there_is_told(backend: Backend, method: str, path: str, body: Any) -> None:
    query = {"to": UNKNOWN} if path.endswith("difference") else None
    answer = await backend.ask(method, f"/api/v1/{path}", body, query=query)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-33", "listed", "empty")
@pytest.mark.whitelist("X-B1-34", "declared")
@pytest.mark.whitelist("X-B1-35", "dropped", "not_found")
async def test_dependencies_are_declared_and_dropped(backend: Backend) -> None:
    package, library = await backend.with_package(), await backend.with_package()
    path = f"/api/v1/packages/{package}/dependencies"
    none = await backend.ask("GET", path)
    assert (none.status, none.body) == (200, [])
    declared = await backend.ask("PUT", path, [pair(library)])
    edges = [{"package": pair(package), "needs": pair(library)}]
    assert (declared.status, declared.body) == (200, edges)
    listed = await backend.ask("GET", path, query={"recursive": "true"}, role=Role.VIEWER)
    assert (listed.status, listed.body) == (200, edges)
    cycle = await backend.ask("PUT", f"/api/v1/packages/{library}/dependencies", [pair(package)])
    assert (cycle.status, "form a cycle" in cycle.body["detail"]) == (400, True)
    dropped = await backend.ask("DELETE", path, query={"needs": library.split("/")[0]})
    assert (dropped.status, dropped.body) == (200, [])
    again = await backend.ask("DELETE", path, query={"needs": library.split("/")[0]})
    assert (again.status, again.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-33", "package_missing")
@pytest.mark.whitelist("X-B1-34", "package_missing")
@pytest.mark.whitelist("X-B1-35", "package_missing")
@pytest.mark.whitelist("X-B1-60", "package_missing")
@pytest.mark.parametrize(
    ("method", "what", "body"),
    [
        ("GET", "dependencies", None),
        ("PUT", "dependencies", []),
        ("DELETE", "dependencies", None),
        ("GET", "preview", None),
    ],
)
async def test_unknown_package_is_told(backend: Backend, method: str, what: str, body: Any) -> None:
    answer = await backend.ask(method, f"/api/v1/packages/nowhere/1.0.0/{what}", body)
    assert (answer.status, answer.message) == (404, "Package ID does not exist")


@pytest.mark.whitelist("X-B1-36", "explained", "not_found", "package_missing", "filters_missing", "filter_invalid")
async def test_viewer_asks_why_a_vehicle_gets_a_package(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    package, bare = await backend.with_targeted_package(f'vin_matches "^{vin}$"'), await backend.with_package()

    async def ask(**body: Any) -> tuple[int, Any]:
        answer = await backend.ask("POST", "/api/v1/resolve/explain", body, role=Role.VIEWER)
        return answer.status, answer.body.get("verdict") or answer.message

    assert await ask(vin=vin, package=pair(package)) == (200, "in")
    assert await ask(vin=vin, expression="FALSE") == (200, "out")
    assert await ask(vin=new_vin(), expression="FALSE") == (404, "Not Found")
    assert await ask(vin=vin, package=pair("nowhere/1.0.0")) == (404, "Package ID does not exist")
    assert await ask(vin=vin, package=pair(bare)) == (404, "No filters associated with package")
    assert await ask(vin=vin, expression="FALSE and") == (406, "Filter failed validation")


@pytest.mark.whitelist("X-B1-37", "previewed")
@pytest.mark.whitelist("X-B1-38", "validated")
@pytest.mark.whitelist("X-B1-39", "formatted")
@pytest.mark.whitelist("X-B1-60", "previewed", "filters_missing")
async def test_viewer_tries_filters_and_leaves_no_record(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    body = {"expression": f'vin_matches("^{vin}$")AND TRUE'}
    before = await audited(backend)
    preview = await backend.ask("POST", "/api/v1/filters/preview", body, role=Role.VIEWER)
    assert (preview.status, preview.body) == (200, {"count": 1, "sample": [vin]})
    valid = await backend.ask("POST", "/api/v1/filters/validate", body, role=Role.VIEWER)
    assert (valid.status, valid.body) == (200, {"valid": True})
    tidy = await backend.ask("POST", "/api/v1/filters/format", body, role=Role.VIEWER)
    assert (tidy.status, tidy.body) == (200, {"expression": f'vin_matches("^{vin}$") AND TRUE'})
    assert await audited(backend) == before
    package = await backend.with_targeted_package(body["expression"])
    rehearsed = await backend.ask("GET", f"/api/v1/packages/{package}/preview", role=Role.VIEWER)
    assert (rehearsed.status, rehearsed.body["chosen"], rehearsed.body["left_out"]) == (200, 1, 0)
    bare = await backend.ask("GET", f"/api/v1/packages/{await backend.with_package()}/preview")
    assert (bare.status, bare.message) == (404, "No filters associated with package")


async def audited(backend: Backend) -> int:
    answer = await backend.ask("GET", "/api/v1/audit/verify", role=Role.ADMIN)
    records: int = answer.body["records"]
    return records


@pytest.mark.whitelist("X-B1-61", "found")
@pytest.mark.whitelist("X-B1-62", "listed", "empty")
@pytest.mark.whitelist("X-B1-63", "listed", "empty")
@pytest.mark.whitelist("X-B1-64", "listed", "empty")
async def test_viewer_sees_recorded_resolutions(backend: Backend) -> None:
    vin, library = await backend.with_vehicle(), await backend.with_package()
    package = await backend.with_targeted_package(f'vin_matches "^{vin}$"')
    first = await recorded(backend, package)
    name, _version = library.split("/")
    await backend.ask("PUT", f"/api/v1/packages/{package}/dependencies", [pair(f"{name}/9.0.0")])
    second = await recorded(backend, package)

    async def ask(id: str, what: str, **query: str) -> tuple[int, Any]:
        answer = await backend.ask("GET", f"/api/v1/resolutions/{id}{what}", role=Role.VIEWER, query=query)
        return answer.status, answer.body

    status, found = await ask(first, "")
    assert (status, found["chosen"], found["left_out"], found["status"]) == (200, 1, 0, "complete")
    chosen = {"vin": vin, "packages": [pair(package)]}
    reason = f"{package} needs {name} 9.0.0 or later, which is not registered"
    left_out = {"code": "dependency_missing", "reason": reason}
    assert await ask(first, "/vehicles") == (200, [chosen])
    assert await ask(second, "/vehicles") == (200, [])
    assert await ask(first, "/left-out") == (200, [])
    assert await ask(second, "/left-out") == (200, [{"vin": vin, **left_out}])
    assert await ask(first, "/difference", to=first) == (200, [])
    removed = {"vin": vin, "change": "removed", "before": {"packages": [pair(package)]}, "after": left_out}
    assert await ask(first, "/difference", to=second) == (200, [removed])
    assert (await ask(first, "/difference"))[0] == 400


async def test_resolver_that_is_away_is_told(cut_off: Server) -> None:
    answer = await cut_off.ask("POST", "/api/v1/filters/preview", {"expression": "TRUE"})
    assert answer.status == 503


async def test_preview_and_explanation_see_what_was_acknowledged_before_them(backend: Backend) -> None:
    name, vins = new_name("firmware"), [await backend.with_vehicle() for _ in range(20)]
    expression = f'has_package "^{name}$" "^1"'
    for version, count in (("1.0.0", len(vins)), ("2.0.0", 0), ("1.1.0", len(vins))):
        changed = await asyncio.gather(
            *(backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [pair(f"{name}/{version}")]) for vin in vins)
        )
        assert {answer.status for answer in changed} == {200}
        preview = await backend.ask("POST", "/api/v1/filters/preview", {"expression": expression})
        assert (preview.status, preview.body["count"]) == (200, count)
        explained = await backend.ask("POST", "/api/v1/resolve/explain", {"vin": vins[0], "expression": expression})
        assert (explained.status, explained.body["verdict"]) == (200, "in" if count else "out")
