"""B3, Web Server to External Resolver: dependencies, previews and explanations, against the real program."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver

pytestmark = pytest.mark.anyio


def edge(package: str, needs: str) -> dict[str, Any]:
    return {"package": pair(package), "needs": pair(needs)}


def pair(text: str) -> dict[str, str]:
    name, version = text.split("/")
    return {"name": name, "version": version}


async def chain(resolver: RunningResolver) -> tuple[str, str, str]:
    """Register a/1.0.0, which needs b, which needs c; return the names."""
    a, b, c = sorted(new_name("p") for _ in range(3))
    await resolver.add_package(c, "1.5.0")
    await resolver.add_package(b, "1.0.0", (c, "1.2.0"))
    await resolver.add_package(a, "1.0.0", (b, "1.0.0"))
    return a, b, c


@pytest.mark.whitelist("X-B3-14", "listed", "empty")
async def test_dependencies_are_listed_directly_or_as_a_graph(resolver: RunningResolver) -> None:
    a, b, c = await chain(resolver)
    direct = await resolver.web.send("GET", f"/packages/{a}/1.0.0/dependencies")
    assert (direct.status, direct.body) == (200, [edge(f"{a}/1.0.0", f"{b}/1.0.0")])
    graph = await resolver.web.send("GET", f"/packages/{a}/1.0.0/dependencies", query={"recursive": "true"})
    assert graph.body == [edge(f"{a}/1.0.0", f"{b}/1.0.0"), edge(f"{b}/1.0.0", f"{c}/1.2.0")]
    none = await resolver.web.send("GET", f"/packages/{c}/1.5.0/dependencies")
    assert (none.status, none.body) == (200, [])
    wrong = await resolver.web.send("GET", f"/packages/{a}/1.0.0/dependencies", query={"recursive": "yes"})
    assert wrong.status == 400


@pytest.mark.whitelist("X-B3-15", "declared")
@pytest.mark.whitelist("X-B3-16", "dropped", "not_found")
async def test_dependencies_are_declared_again_and_dropped(resolver: RunningResolver) -> None:
    a, b, c = await chain(resolver)
    path = f"/packages/{a}/1.0.0/dependencies"
    declared = await resolver.web.send("PUT", path, [pair(f"{c}/1.0.0"), pair(f"{b}/1.0.0")])
    assert (declared.status, declared.body) == (
        200,
        [edge(f"{a}/1.0.0", f"{b}/1.0.0"), edge(f"{a}/1.0.0", f"{c}/1.0.0")],
    )
    dropped = await resolver.web.send("DELETE", path, query={"needs": b})
    assert (dropped.status, dropped.body) == (200, [edge(f"{a}/1.0.0", f"{c}/1.0.0")])
    again = await resolver.web.send("DELETE", path, query={"needs": b})
    assert (again.status, again.body["title"]) == (404, "Not Found")
    assert (await resolver.web.send("DELETE", path)).body == []
    assert (await resolver.web.send("GET", path)).body == []


async def test_declaration_that_cannot_stand_changes_nothing(resolver: RunningResolver) -> None:
    a, b, c = await chain(resolver)
    cycle = await resolver.web.send("PUT", f"/packages/{c}/1.5.0/dependencies", [pair(f"{a}/1.0.0")])
    assert cycle.status == 400
    assert cycle.body["detail"] == (
        f"The dependencies form a cycle: {c}/1.5.0 needs {a}/1.0.0 needs {b}/1.0.0 needs {c}/1.5.0."
    )
    twice = await resolver.web.send("PUT", f"/packages/{a}/1.0.0/dependencies", [pair(f"{b}/1.0.0")] * 2)
    assert (twice.status, "twice" in twice.body["detail"]) == (400, True)
    many = [pair(f"x{number}/1.0.0") for number in range(101)]
    assert (await resolver.web.send("PUT", f"/packages/{a}/1.0.0/dependencies", many)).status == 400
    assert (await resolver.web.send("PUT", f"/packages/{a}/1.0.0/dependencies", many[:100])).status == 200
    assert (await resolver.web.send("GET", f"/packages/{c}/1.5.0/dependencies")).body == []


@pytest.mark.whitelist("X-B3-14", "package_missing")
@pytest.mark.whitelist("X-B3-15", "package_missing")
@pytest.mark.whitelist("X-B3-16", "package_missing")
@pytest.mark.whitelist("X-B3-21", "package_missing")
@pytest.mark.parametrize(
    ("method", "what", "body"),
    [
        ("GET", "dependencies", None),
        ("PUT", "dependencies", []),
        ("DELETE", "dependencies", None),
        ("GET", "preview", None),
    ],
)
async def test_unknown_package_is_told(resolver: RunningResolver, method: str, what: str, body: Any) -> None:
    answer = await resolver.web.send(method, f"/packages/nowhere/1.0.0/{what}", body)
    assert (answer.status, answer.body["title"]) == (404, "Package ID does not exist")


@pytest.mark.whitelist("X-B3-18", "previewed")
async def test_expression_is_counted_with_a_sample(resolver: RunningResolver) -> None:
    library = new_name("lib")
    vins = {await resolver.add_vehicle(packages=[(library, f"1.{minor}.0")]) for minor in range(12)}
    body = {"expression": f'package_version "{library}" < "1.11.0"'}
    answer = await resolver.web.send("POST", "/filters/preview", body)
    assert (answer.status, answer.body["count"], len(answer.body["sample"])) == (200, 11, 10)
    assert set(answer.body["sample"]) < vins
    assert "error" not in answer.body


@pytest.mark.whitelist("X-B3-18", "previewed")
async def test_mistake_of_who_is_typing_is_an_answer(resolver: RunningResolver) -> None:
    for expression, line, column in (("TRUE AND\n vin_match", 2, 2), ("", 1, 1), ("x" * 70_000, 1, 1)):
        answer = await resolver.web.send("POST", "/filters/preview", {"expression": expression})
        assert answer.status == 200
        assert (answer.body["count"], answer.body["sample"]) == (0, [])
        assert (answer.body["error"]["line"], answer.body["error"]["column"]) == (line, column)
    typed = await resolver.web.send("POST", "/filters/preview", {"expression": "TRUE AND\n vin_match"})
    assert typed.body["error"]["suggestion"] == "vin_matches"
    assert "vin_matches" in typed.body["error"]["expected"]


@pytest.mark.whitelist("X-B3-19", "validated")
async def test_expression_is_validated_with_hints(resolver: RunningResolver) -> None:
    good = await resolver.web.send("POST", "/filters/validate", {"expression": 'vin_matches "^WVW"'})
    assert (good.status, good.body) == (200, {"valid": True})
    attribute = new_name("region")
    doubtful = {"expression": f'has_component "rev_*" AND\nattribute "{attribute}" "EU"'}
    hinted = await resolver.web.send("POST", "/filters/validate", doubtful)
    assert hinted.body == {
        "valid": True,
        "hints": [
            {
                "line": 1,
                "column": 1,
                "message": "in 'rev_*' a * repeats the character before it: for any text write .*",
            },
            {"line": 2, "column": 1, "message": f"no vehicle has an attribute {attribute!r}"},
        ],
    }
    bad = await resolver.web.send("POST", "/filters/validate", {"expression": 'NOT in_group "nowhere"'})
    assert (bad.status, bad.body["valid"]) == (200, False)
    assert (bad.body["error"]["line"], bad.body["error"]["column"]) == (1, 5)
    assert bad.body["error"]["message"] == "there is no group 'nowhere': make it first"


@pytest.mark.whitelist("X-B3-20", "formatted")
async def test_expression_is_formatted(resolver: RunningResolver) -> None:
    answer = await resolver.web.send("POST", "/filters/format", {"expression": "TRUE  AND(FALSE )"})
    assert (answer.status, answer.body) == (200, {"expression": "TRUE AND (FALSE)"})
    wrong = await resolver.web.send("POST", "/filters/format", {"expression": "TRUE &&"})
    assert (wrong.status, wrong.body["error"]["suggestion"]) == (200, "AND")


@pytest.mark.whitelist("X-B3-21", "previewed")
async def test_package_is_rehearsed(resolver: RunningResolver) -> None:
    name, library, unit = new_name("ivi"), new_name("libtls"), new_name("unit")
    await resolver.add_package(library, "1.4.0")
    await resolver.add_package(library, "2.0.0")
    await resolver.add_package(unit, "1.0.0", (library, "2.0.0"))
    await resolver.offer(name, "1.0.0", f'has_package "^{unit}$" "" OR has_package "^{library}$" ""')
    for packages in ([(library, "1.4.0")], [(library, "1.4.0"), (unit, "0.9.0")]):
        await resolver.add_vehicle(packages=packages)
    answer = await resolver.web.send("GET", f"/packages/{name}/1.0.0/preview")
    assert (answer.status, answer.body["chosen"], answer.body["left_out"]) == (200, 2, 0)
    assert answer.body["plans"] == [{"packages": [pair(f"{name}/1.0.0")], "count": 2}]
    await resolver.web.send("PUT", f"/packages/{name}/1.0.0/dependencies", [pair(f"{library}/3.0.0")])
    blocked = await resolver.web.send("GET", f"/packages/{name}/1.0.0/preview")
    reason = f"{name}/1.0.0 needs {library} 3.0.0 or later, which is not registered"
    assert blocked.body == {
        "chosen": 0,
        "left_out": 2,
        "plans": [],
        "reasons": [{"code": "dependency_missing", "reason": reason, "count": 2}],
    }


@pytest.mark.whitelist("X-B3-17", "filters_missing")
@pytest.mark.whitelist("X-B3-21", "filters_missing")
async def test_package_without_filters_is_for_no_vehicle(resolver: RunningResolver) -> None:
    name, vin = new_name("ivi"), await resolver.add_vehicle()
    await resolver.add_package(name, "1.0.0")
    preview = await resolver.web.send("GET", f"/packages/{name}/1.0.0/preview")
    assert (preview.status, preview.body["title"]) == (404, "No filters associated with package")
    body = {"vin": vin, "package": pair(f"{name}/1.0.0")}
    explained = await resolver.web.send("POST", "/resolve/explain", body)
    assert (explained.status, explained.body["title"]) == (404, "No filters associated with package")


@pytest.mark.whitelist("X-B3-17", "explained")
async def test_decision_is_explained_clause_by_clause_and_step_by_step(resolver: RunningResolver) -> None:
    name, library = new_name("ivi"), new_name("libtls")
    vin = await resolver.add_vehicle(packages=[(library, "1.1.0")], components=["TCU-5G"])
    await resolver.add_package(library, "1.4.0")
    await resolver.offer(name, "2.0.0", f'vin_matches "^{vin}$" AND\nNOT has_component "^ECU"', (library, "1.2.0"))

    answer = await resolver.web.send("POST", "/resolve/explain", {"vin": vin, "package": pair(f"{name}/2.0.0")})

    assert (answer.status, answer.body["verdict"]) == (200, "in")
    [explained] = answer.body["filters"]
    assert (explained["value"], explained["clause"]["kind"]) == (True, "and")
    matches, negation = explained["clause"]["parts"]
    assert matches == {
        "kind": "test",
        "value": True,
        "text": f'vin_matches "^{vin}$"',
        "line": 1,
        "column": 1,
        "seen": [vin],
        "note": "the VIN matches",
    }
    assert (negation["kind"], negation["value"]) == ("not", True)
    assert (negation["parts"][0]["line"], negation["parts"][0]["column"]) == (2, 5)
    assert negation["parts"][0]["note"] == "none of its components does: TCU-5G"
    because = f"{name}/2.0.0 needs {library} 1.2.0 or later; the vehicle has 1.1.0"
    assert answer.body["steps"] == [
        {"package": pair(f"{library}/1.4.0"), "because": because},
        {"package": pair(f"{name}/2.0.0"), "because": "it was asked for"},
    ]
    assert answer.body["installed"] == [pair(f"{library}/1.1.0")]


@pytest.mark.whitelist("X-B3-17", "explained")
async def test_vehicle_that_dependencies_block_or_filters_leave_out_is_explained(resolver: RunningResolver) -> None:
    library, unit = new_name("libtls"), new_name("unit")
    await resolver.offer(library, "1.0.0", f'has_package "^{unit}$" ""')
    await resolver.add_package(library, "2.0.0")
    await resolver.add_package(unit, "1.0.0", (library, "2.0.0"))
    blocked = await resolver.add_vehicle(packages=[(library, "2.0.0"), (unit, "1.0.0")])
    other = await resolver.add_vehicle()
    body = {"vin": blocked, "package": pair(f"{library}/1.0.0")}
    answer = await resolver.web.send("POST", "/resolve/explain", body)
    assert (answer.body["verdict"], answer.body["code"]) == ("blocked", "would_break")
    assert f"the installed {unit}/1.0.0 needs {library} 2.0.0 or later" in answer.body["reason"]
    assert "steps" not in answer.body
    out = await resolver.web.send("POST", "/resolve/explain", {**body, "vin": other})
    assert (out.body["verdict"], out.body["filters"][0]["value"]) == ("out", False)
    assert out.body["filters"][0]["clause"]["note"] == "it has no package"


@pytest.mark.whitelist("X-B3-17", "explained", "filter_invalid")
async def test_expression_that_is_nowhere_saved_is_explained(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle(packages=[("ivi", "1.9.0")])
    body = {"vin": vin, "expression": 'package_version "ivi" >= "1.10"'}
    answer = await resolver.web.send("POST", "/resolve/explain", body)
    assert (answer.status, answer.body["verdict"]) == (200, "out")
    assert answer.body["filters"][0]["clause"]["note"] == "it has ivi at 1.9.0"
    wrong = await resolver.web.send("POST", "/resolve/explain", {"vin": vin, "expression": "TRUE and"})
    assert (wrong.status, wrong.body["title"]) == (406, "Filter failed validation")


@pytest.mark.whitelist("X-B3-17", "not_found", "package_missing")
async def test_unknown_vehicle_or_package_cannot_be_explained(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle()
    stranger = await resolver.web.send("POST", "/resolve/explain", {"vin": new_vin(), "expression": "TRUE"})
    assert (stranger.status, stranger.body["title"]) == (404, "Not Found")
    missing = await resolver.web.send("POST", "/resolve/explain", {"vin": vin, "package": pair("nowhere/1.0.0")})
    assert (missing.status, missing.body["title"]) == (404, "Package ID does not exist")
    for body in ({"vin": vin}, {"vin": vin, "expression": "TRUE", "package": pair("nowhere/1.0.0")}):
        assert (await resolver.web.send("POST", "/resolve/explain", body)).status == 400
