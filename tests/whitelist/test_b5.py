"""B5, SOTA Core to External Resolver: every outcome, against the real program, its socket and its database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.b5_core_resolver.messages import FactStatus, VehicleRegistered
from sota.boundaries.values import PackageId
from sota.kit.errors import Refused
from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver

pytestmark = pytest.mark.anyio
NDJSON = "application/x-ndjson"


class Fleet:
    """A few vehicles of one test, and who of them has what: asked by a resolve, as Core would."""

    def __init__(self, resolver: RunningResolver) -> None:
        self.resolver = resolver
        self.vins: list[str] = []

    async def add(self, count: int) -> list[str]:
        new = [new_vin() for _ in range(count)]
        answer = await self.resolver.core.tell(*({"fact": "vehicle_registered", "vin": vin} for vin in new))
        assert {result["status"] for result in answer.body} == {"recorded"}
        self.vins += new
        return new

    async def tell(self, *facts: dict[str, Any]) -> list[str]:
        return [result["status"] for result in (await self.resolver.core.tell(*facts)).body]

    async def matching(self, expression: str) -> list[str]:
        package = new_name("probe")
        await self.resolver.offer(package, "1.0.0", expression)
        answer = await self.resolver.resolve(package, "1.0.0", self.resolver.core)
        return sorted(match["vin"] for match in answer.body if match["vin"] in self.vins)


@pytest.fixture
def fleet(resolver: RunningResolver) -> Fleet:
    return Fleet(resolver)


def package(name: str, version: str) -> dict[str, str]:
    return {"name": name, "version": version}


@pytest.mark.whitelist("WL-B5-1", "resolved")
async def test_resolve_streams_the_vehicles_that_pass(resolver: RunningResolver, fleet: Fleet) -> None:
    vins = await fleet.add(10)
    name = new_name("ivi")
    await resolver.offer(name, "2.0.0", f'vin_matches "{"|".join(vins[::2])}"')
    body = {"package": package(name, "2.0.0")}
    answer = await resolver.core.send("POST", "/resolve", body, headers={"accept": NDJSON})
    assert (answer.status, answer.headers["content-type"]) == (200, NDJSON)
    found = sorted(answer.body, key=lambda one: str(one["vin"]))
    assert found == [{"vin": vin, "packages": [package(name, "2.0.0")]} for vin in vins[::2]]


@pytest.mark.whitelist("WL-B5-1", "filters_missing")
async def test_resolve_without_filters_is_refused(resolver: RunningResolver) -> None:
    name = new_name("ivi")
    await resolver.add_package(name, "2.0.0")
    answer = await resolver.resolve(name, "2.0.0", resolver.core)
    assert (answer.status, answer.body["title"]) == (404, "No filters associated with package")
    assert answer.body["interaction"] == "WL-B5-1"


@pytest.mark.whitelist("WL-B5-1", "package_missing")
async def test_resolve_of_an_unknown_package_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.resolve("nowhere", "2.0.0", resolver.core)
    assert (answer.status, answer.body["title"]) == (404, "Package ID does not exist")


@pytest.mark.whitelist("WL-B5-1", "unauthenticated")
async def test_stranger_is_refused(resolver: RunningResolver) -> None:
    answer = await resolver.resolve("nowhere", "2.0.0", resolver.stranger)
    assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")


@pytest.mark.whitelist("WL-B5-2", "recorded")
async def test_result_of_an_install_is_seen_by_the_next_resolve(fleet: Fleet) -> None:
    vin, _other = await fleet.add(2)
    ivi = new_name("ivi")
    assert await fleet.tell({"fact": "package_added", "vin": vin, "package": package(ivi, "1.0.0")}) == ["recorded"]
    assert await fleet.matching(f'has_package "^{ivi}$" "^1"') == [vin]
    changed = await fleet.tell(
        {"fact": "package_removed", "vin": vin, "package": package(ivi, "1.0.0")},
        {"fact": "package_added", "vin": vin, "package": package(ivi, "2.0.0")},
    )
    assert changed == ["recorded", "recorded"]
    assert await fleet.matching(f'has_package "^{ivi}$" "^1"') == []
    assert await fleet.matching(f'has_package "^{ivi}$" "^2"') == [vin]


@pytest.mark.whitelist("WL-B5-2", "recorded")
async def test_fact_that_comes_again_changes_nothing(resolver: RunningResolver, fleet: Fleet) -> None:
    (vin,) = await fleet.add(1)
    part = new_name("TCU")
    added = {"fact": "component_added", "id": new_name("once"), "vin": vin, "part_number": part}
    removed = {"fact": "component_removed", "id": new_name("once"), "vin": vin, "part_number": part}
    assert await fleet.tell(added, removed) == ["recorded", "recorded"]
    again = await resolver.core.tell(added, removed)
    assert again.body == [{"id": fact["id"], "status": "repeated"} for fact in (added, removed)]
    assert await fleet.matching(f'has_component "^{part}$"') == []


@pytest.mark.whitelist("WL-B5-2", "recorded")
async def test_fact_about_an_unknown_vin_creates_nothing_and_is_answered(
    resolver: RunningResolver, fleet: Fleet
) -> None:
    unknown, (known,) = new_vin(), await fleet.add(1)
    part = new_name("TCU")
    facts = [
        {"fact": "component_added", "id": new_name("fact"), "vin": vin, "part_number": part} for vin in (unknown, known)
    ]
    answer = await resolver.core.tell(*facts)
    refused = {"id": facts[0]["id"], "status": "refused", "detail": f"The VIN {unknown} is not registered."}
    assert answer.body == [refused, {"id": facts[1]["id"], "status": "recorded"}]
    assert await fleet.matching(f'has_component "^{part}$"') == [known]
    assert (await resolver.web.send("POST", "/vehicles", {"vin": unknown})).status == 200
    assert await fleet.tell(*facts) == ["recorded", "repeated"]


@pytest.mark.whitelist("WL-B5-2", "recorded")
async def test_line_that_is_no_fact_is_refused_alone(resolver: RunningResolver) -> None:
    vin = new_vin()
    lines = b'{"fact":"vehicle_registered","id":"a-%b","vin":"%b"}\n{"id":"b","fact":"nonsense"}\n\nnot json\n' % (
        vin.encode(),
        vin.encode(),
    )
    answer = await resolver.core.send("POST", "/facts", lines, headers={"content-type": NDJSON})
    assert answer.status == 200
    assert [(result.get("id"), result["status"]) for result in answer.body] == [
        (f"a-{vin}", "recorded"),
        ("b", "refused"),
        (None, "refused"),
    ]


@pytest.mark.whitelist("WL-B5-2", "unauthenticated")
async def test_facts_of_a_stranger_are_refused(resolver: RunningResolver) -> None:
    answer = await resolver.stranger.tell({"fact": "vehicle_registered", "vin": new_vin()})
    assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")


async def test_facts_about_one_vehicle_are_taken_in_their_order(fleet: Fleet) -> None:
    (vin,) = await fleet.add(1)
    first, second, part = new_name("a"), new_name("b"), new_name("TCU")
    told = await fleet.tell(
        {"fact": "package_added", "vin": vin, "package": package(first, "1.0.0")},
        {"fact": "packages_replaced", "vin": vin, "packages": [package(second, "1.0.0")]},
        {"fact": "component_added", "vin": vin, "part_number": part},
        {"fact": "component_retired", "part_number": part},
        {"fact": "component_added", "vin": vin, "part_number": f"{part}-b"},
    )
    assert told == ["recorded"] * 5
    assert await fleet.matching(f'has_package "^{first}$" ""') == []
    assert await fleet.matching(f'has_package "^{second}$" ""') == [vin]
    assert await fleet.matching(f'has_component "^{part}$"') == []
    assert await fleet.matching(f'has_component "^{part}-b$"') == [vin]


async def test_replaced_packages_are_exactly_those(fleet: Fleet) -> None:
    (vin,) = await fleet.add(1)
    names = [new_name("p") for _ in range(3)]
    await fleet.tell(*({"fact": "package_added", "vin": vin, "package": package(name, "1.0.0")} for name in names))
    kept = [package(names[1], "1.0.0"), package(names[2], "9.0.0")]
    await fleet.tell({"fact": "packages_replaced", "vin": vin, "packages": kept})
    assert await fleet.matching(f'has_package "^{names[0]}$" ""') == []
    assert await fleet.matching(f'has_package "^{names[1]}$" "^1"') == [vin]
    assert await fleet.matching(f'has_package "^{names[2]}$" "^1"') == []
    assert await fleet.matching(f'has_package "^{names[2]}$" "^9"') == [vin]


async def test_retired_vehicle_is_gone_with_what_it_had(resolver: RunningResolver, fleet: Fleet) -> None:
    (vin,) = await fleet.add(1)
    part = new_name("TCU")
    await fleet.tell({"fact": "component_added", "vin": vin, "part_number": part})
    assert await fleet.tell({"fact": "vehicle_retired", "vin": vin}) == ["recorded"]
    assert await fleet.matching(f'vin_matches "{vin}"') == []
    again = await fleet.tell({"fact": "vehicle_registered", "vin": vin}, {"fact": "vehicle_registered", "vin": vin})
    assert again == ["recorded", "recorded"]
    assert await fleet.matching(f'vin_matches "{vin}"') == [vin]
    assert await fleet.matching(f'has_component "^{part}$"') == []
    same_breath = await fleet.tell({"fact": "vehicle_retired", "vin": vin}, {"fact": "vehicle_registered", "vin": vin})
    assert same_breath == ["recorded", "recorded"]
    assert await fleet.matching(f'vin_matches "{vin}"') == [vin]
    assert (await resolver.web.send("POST", "/vehicles", {"vin": vin})).status == 409


async def test_retired_package_is_offered_no_more(resolver: RunningResolver, fleet: Fleet) -> None:
    (vin,) = await fleet.add(1)
    library, ivi = new_name("libtls"), new_name("ivi")
    await resolver.add_package(library, "1.0.0")
    await resolver.offer(ivi, "1.0.0", f'vin_matches "{vin}"', (library, "1.0.0"))
    before = await resolver.resolve(ivi, "1.0.0", resolver.core)
    await fleet.tell({"fact": "package_retired", **package(library, "1.0.0")})
    after = await resolver.resolve(ivi, "1.0.0", resolver.core)
    assert before.body == [{"vin": vin, "packages": [package(library, "1.0.0"), package(ivi, "1.0.0")]}]
    assert (after.status, after.body) == (200, [])


async def test_package_known_by_a_fact_alone_is_no_prerequisite_to_send(
    resolver: RunningResolver, fleet: Fleet
) -> None:
    (vin,) = await fleet.add(1)
    library, ivi = new_name("libtls"), new_name("ivi")
    await fleet.tell({"fact": "package_registered", **package(library, "1.0.0")})
    await resolver.offer(ivi, "1.0.0", f'vin_matches "{vin}"', (library, "1.0.0"))
    assert (await resolver.resolve(ivi, "1.0.0", resolver.core)).body == []


async def test_facts_must_be_lines_of_json(resolver: RunningResolver) -> None:
    answer = await resolver.core.send("POST", "/facts", {"fact": "vehicle_registered"})
    assert answer.status == 415


async def test_cores_own_client_understands_the_answers(resolver: RunningResolver) -> None:
    client, vin, name = FactsClient(resolver.core.client), new_vin(), new_name("ivi")
    facts: Sequence[VehicleRegistered] = [VehicleRegistered(id=new_name("fact"), vin=vin)]
    statuses = [result.status for result in [*await client.tell(facts), *await client.tell(facts)]]
    assert statuses == [FactStatus.RECORDED, FactStatus.REPEATED]
    await resolver.offer(name, "1.0.0", f'vin_matches "{vin}"')
    resolved = [one async for sets in client.resolve(PackageId(name=name, version="1.0.0")) for one in sets]
    assert [(one.vins, [package.text for package in one.packages]) for one in resolved] == [([vin], [f"{name}/1.0.0"])]
    assert len(await client.filters_of(PackageId(name=name, version="1.0.0"))) == 1
    with pytest.raises(Refused) as caught:
        _ = [one async for one in client.resolve(PackageId(name="nowhere", version="1.0.0"))]
    assert caught.value.code == "package_missing"


@pytest.mark.whitelist("X-B5-1", "listed")
async def test_filters_of_a_package_are_listed(resolver: RunningResolver) -> None:
    name = new_name("ivi")
    await resolver.offer(name, "1.0.0", "TRUE")
    answer = await resolver.core.send("GET", f"/packages/{name}/1.0.0/filters")
    assert (answer.status, [one["expression"] for one in answer.body]) == (200, ["TRUE"])


@pytest.mark.whitelist("X-B5-1", "empty")
async def test_package_without_filters_has_an_empty_list(resolver: RunningResolver) -> None:
    name = new_name("ivi")
    await resolver.add_package(name, "1.0.0")
    answer = await resolver.core.send("GET", f"/packages/{name}/1.0.0/filters")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B5-1", "package_missing")
async def test_filters_of_an_unknown_package_are_refused(resolver: RunningResolver) -> None:
    answer = await resolver.core.send("GET", "/packages/nowhere/1.0.0/filters")
    assert (answer.status, answer.body["title"]) == (404, "Package ID does not exist")


async def test_many_facts_go_into_several_transactions(fleet: Fleet) -> None:
    vins = await fleet.add(1_200)
    part = new_name("TCU")
    told = await fleet.tell(*({"fact": "component_added", "vin": vin, "part_number": part} for vin in vins))
    assert told == ["recorded"] * 1_200
    assert await fleet.matching(f'has_component "^{part}$"') == vins
