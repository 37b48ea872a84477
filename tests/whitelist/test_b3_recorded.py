"""B3 and B5: recorded resolutions are shown and compared, against the real program and its database."""

from __future__ import annotations

from typing import Any

import pytest

from sota.kit.runtime.clock import new_id
from sota.resolver.dependencies.model import Package
from sota.resolver.recorded import store
from tests.support.names import new_name
from tests.support.resolver import RunningResolver

pytestmark = pytest.mark.anyio
UNKNOWN = "01890000-0000-7000-8000-000000000000"


class Offered:
    """A package for vehicles with a group of their own; a vehicle with the unit is left out."""

    def __init__(self, resolver: RunningResolver) -> None:
        self.resolver = resolver
        self.library, self.unit, self.label = new_name("libtls"), new_name("unit"), ""

    async def register(self) -> Offered:
        await self.resolver.add_package(self.library, "2.0.0")
        await self.resolver.add_package(self.unit, "1.0.0", (self.library, "2.0.0"))
        await self.resolver.add_package(self.library, "1.0.0")
        self.label = await self.resolver.add_filter(f'has_package "^{self.library}$" ""')
        await self.resolver.attach(self.library, "1.0.0", self.label)
        return self

    async def add(self, *, blocked: bool = False) -> str:
        unit = [(self.unit, "1.0.0")] if blocked else []
        return await self.resolver.add_vehicle(packages=[(self.library, "2.0.0"), *unit])

    async def change(self, vin: str, *packages: tuple[str, str]) -> None:
        installed = [{"name": name, "version": version} for name, version in packages]
        await self.resolver.core.tell({"fact": "packages_replaced", "vin": vin, "packages": installed})

    async def resolve(self) -> str:
        id = str(new_id())
        body = {"package": self.package, "resolution_id": id}
        assert (await self.resolver.core.send("POST", "/resolve", body)).status == 200
        return id

    @property
    def package(self) -> dict[str, str]:
        return {"name": self.library, "version": "1.0.0"}

    @property
    def reason(self) -> str:
        return (
            f"the installed {self.unit}/1.0.0 needs {self.library} 2.0.0 or later, "
            f"and the update brings {self.library}/1.0.0"
        )


@pytest.mark.whitelist("X-B3-22", "found")
@pytest.mark.whitelist("X-B3-23", "listed")
@pytest.mark.whitelist("X-B3-24", "listed")
@pytest.mark.whitelist("X-B5-2", "found")
async def test_resolution_is_shown_as_it_was_decided(resolver: RunningResolver) -> None:
    offered = await Offered(resolver).register()
    chosen = sorted([await offered.add(), await offered.add()])
    left_out = await offered.add(blocked=True)
    id = await offered.resolve()
    await resolver.web.send("PUT", f"/filters/{offered.label}", {"expression": "FALSE"})
    await resolver.web.send("DELETE", f"/packages/{offered.unit}/1.0.0/dependencies")

    found = await resolver.web.send("GET", f"/resolutions/{id}")

    assert found.status == 200
    assert {"begun_at", "completed_at"} <= found.body.keys()
    shown = {key: value for key, value in found.body.items() if not key.endswith("_at")}
    assert shown == {
        "resolution_id": id,
        "package": offered.package,
        "status": "complete",
        "chosen": 2,
        "left_out": 1,
        "erased": 0,
        "filters": [{"name": offered.label, "expression": f'has_package "^{offered.library}$" ""'}],
        "dependencies": [
            {
                "package": {"name": offered.unit, "version": "1.0.0"},
                "needs": {"name": offered.library, "version": "2.0.0"},
            }
        ],
        "plans": [{"packages": [offered.package], "count": 2}],
        "reasons": [{"code": "would_break", "reason": offered.reason, "count": 1}],
    }
    told = await resolver.core.send("GET", f"/resolutions/{id}")
    assert (told.status, told.body) == (200, found.body)

    vehicles = await resolver.web.send("GET", f"/resolutions/{id}/vehicles", query={"limit": "1"})
    assert (vehicles.status, vehicles.body) == (200, [{"vin": chosen[0], "packages": [offered.package]}])
    assert "link" in vehicles.headers
    gone = await resolver.web.send("GET", f"/resolutions/{id}/left-out")
    assert (gone.status, gone.body) == (200, [{"vin": left_out, "code": "would_break", "reason": offered.reason}])


@pytest.mark.whitelist("X-B3-23", "empty")
@pytest.mark.whitelist("X-B3-24", "empty")
@pytest.mark.whitelist("X-B3-25", "empty")
async def test_resolution_for_no_vehicle_has_empty_lists(resolver: RunningResolver) -> None:
    id = await (await Offered(resolver).register()).resolve()
    for path, query in (("vehicles", {}), ("left-out", {}), ("difference", {"to": id})):
        answer = await resolver.web.send("GET", f"/resolutions/{id}/{path}", query=query)
        assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B3-25", "listed")
async def test_two_resolutions_are_compared(resolver: RunningResolver) -> None:
    offered = await Offered(resolver).register()
    stays, leaves, becomes_blocked, joins, unblocked = [await offered.add(blocked=n == 4) for n in range(5)]
    await offered.change(joins)
    before = await offered.resolve()
    await offered.change(leaves)
    await offered.change(becomes_blocked, (offered.library, "2.0.0"), (offered.unit, "1.0.0"))
    await offered.change(joins, (offered.library, "2.0.0"))
    await offered.change(unblocked)
    after = await offered.resolve()

    answer = await resolver.web.send("GET", f"/resolutions/{before}/difference", query={"to": after})

    assert answer.status == 200
    gets, refused = {"packages": [offered.package]}, {"code": "would_break", "reason": offered.reason}
    assert {entry.pop("vin"): entry for entry in answer.body} == {
        leaves: {"change": "removed", "before": gets},
        becomes_blocked: {"change": "removed", "before": gets, "after": refused},
        joins: {"change": "added", "after": gets},
        unblocked: {"change": "changed", "before": refused},
    }
    assert stays not in {entry.get("vin") for entry in answer.body}
    vins, cursor = [], None
    while True:
        query = {"to": after, "limit": "1", **({"cursor": cursor} if cursor else {})}
        page = await resolver.web.send("GET", f"/resolutions/{before}/difference", query=query)
        vins += [entry["vin"] for entry in page.body]
        if "link" not in page.headers:
            break
        cursor = page.headers["link"].split("cursor=")[1].split(">")[0]
    assert vins == sorted([leaves, becomes_blocked, joins, unblocked])


@pytest.mark.whitelist("X-B3-22", "not_found")
@pytest.mark.whitelist("X-B3-23", "not_found")
@pytest.mark.whitelist("X-B3-24", "not_found")
@pytest.mark.whitelist("X-B3-25", "not_found")
@pytest.mark.whitelist("X-B5-2", "not_found")
@pytest.mark.parametrize("path", ["", "/vehicles", "/left-out", f"/difference?to={UNKNOWN}"])
async def test_unknown_resolution_is_told(resolver: RunningResolver, path: str) -> None:
    what, _, query = path.partition("?to=")
    answer = await resolver.web.send("GET", f"/resolutions/{UNKNOWN}{what}", query={"to": query} if query else None)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")
    core = await resolver.core.send("GET", f"/resolutions/{UNKNOWN}")
    assert (core.status, core.body["title"]) == (404, "Not Found")


async def test_record_that_is_not_complete_says_so(resolver: RunningResolver) -> None:
    id, now = new_id(), resolver.program.clock.now()
    await resolver.db.transact(lambda tx: store.begin(tx, id, new_id(), Package("ivi", "2.0.0"), now))
    found = await resolver.web.send("GET", f"/resolutions/{id}")
    assert (found.status, found.body["status"], "completed_at" in found.body) == (200, "incomplete", False)
    assert (await resolver.web.send("GET", f"/resolutions/{id}/vehicles")).status == 404


@pytest.mark.parametrize("query", [{}, {"to": "nothing"}])
async def test_comparison_needs_another_id(resolver: RunningResolver, query: dict[str, Any]) -> None:
    offered = await Offered(resolver).register()
    id = await offered.resolve()
    assert (await resolver.web.send("GET", f"/resolutions/{id}/difference", query=query)).status == 400


@pytest.mark.whitelist("WL-B3-5", "resolution_exists")
@pytest.mark.whitelist("WL-B5-1", "resolution_exists")
async def test_id_of_a_resolution_stands_for_one_package_alone(resolver: RunningResolver) -> None:
    first, second = await Offered(resolver).register(), await Offered(resolver).register()
    await first.add()
    body = {"package": second.package, "resolution_id": await first.resolve()}
    for caller in (resolver.web, resolver.core):
        answer = await caller.send("POST", "/resolve", body)
        assert (answer.status, answer.body["title"]) == (409, "Resolution already exists")
