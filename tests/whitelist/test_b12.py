"""B12, Logistics & Provisioning to SOTA Core: vehicles as they are built, against the real Core and a real Resolver."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.answer import Answer
from tests.support.core import RunningCore
from tests.support.names import new_name, new_vin
from tests.support.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.whitelist("X-B12-1", "provisioned")]


async def provision(core: RunningCore, *lines: dict[str, Any] | bytes) -> Answer:
    content = b"\n".join(line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    return await core.logistics.send("POST", "/logistics/vehicles", content, headers=headers)


def built(vin: str, *packages: tuple[str, str], components: tuple[str, ...] = ()) -> dict[str, Any]:
    installed = [{"name": name, "version": version} for name, version in packages]
    return {"vin": vin, "components": list(components), "packages": installed}


async def test_vehicles_are_registered_with_what_is_in_them(core: RunningCore) -> None:
    vin, number = new_vin(), new_name("TCU")
    answer = await provision(core, built(vin, ("ivi", "1.0.0"), ("bash", "5.2-15+b7"), components=(number,)))
    assert (answer.status, answer.body) == (200, [{"line": 1, "status": "inserted", "vin": vin}])
    page = (await core.web.send("GET", f"/vehicles/{vin}")).body
    assert page["components"] == [number]
    assert page["packages"] == [{"name": "bash", "version": "5.2-15+b7"}, {"name": "ivi", "version": "1.0.0"}]
    assert (await core.web.send("GET", f"/components/{number}")).status == 200


async def test_same_file_sent_again_changes_nothing(core: RunningCore) -> None:
    vin = new_vin()
    await provision(core, built(vin, ("ivi", "1.0.0")))
    again = await provision(core, built(vin, ("ivi", "1.0.0")))
    assert again.body == [{"line": 1, "status": "unchanged", "vin": vin}]
    changed = await provision(core, built(vin, ("ivi", "1.1.0")), built(vin, ("ivi", "1.1.0")))
    assert [result["status"] for result in changed.body] == ["changed", "unchanged"]
    assert await core.installed(vin) == [{"name": "ivi", "version": "1.1.0"}]


@pytest.mark.parametrize("ending", [b"", b"\n"])
async def test_byte_order_mark_before_the_first_line_is_passed_over(core: RunningCore, ending: bytes) -> None:
    vin, mark = new_vin(), b"\xef\xbb\xbf"
    answer = await provision(core, mark + msgspec.json.encode(built(vin)) + ending)
    assert answer.body == [{"line": 1, "status": "inserted", "vin": vin}]
    again = await provision(core, mark + mark + msgspec.json.encode(built(vin)) + ending)
    assert [result["status"] for result in again.body] == ["refused"]


async def test_line_that_cannot_be_read_is_refused_and_the_others_are_not(core: RunningCore) -> None:
    first, second = new_vin(), new_vin()
    answer = await provision(core, built(first), b"{not json", {"vin": "short"}, b"", built(second))
    results = sorted(answer.body, key=lambda result: result["line"])
    assert [(result["line"], result["status"]) for result in results] == [
        (1, "inserted"),
        (2, "refused"),
        (3, "refused"),
        (5, "inserted"),
    ]
    assert "vin" in results[2]["detail"]


async def test_many_vehicles_are_streamed(core: RunningCore) -> None:
    vins = [new_vin() for _ in range(1500)]
    answer = await provision(core, *(built(vin, ("ivi", "1.0.0"), components=("TCU-7",)) for vin in vins))
    assert [result["vin"] for result in answer.body] == vins
    assert {result["status"] for result in answer.body} == {"inserted"}


async def test_resolver_hears_of_provisioned_vehicles(core: RunningCore) -> None:
    vin, number, name = new_vin(), new_name("TCU"), new_name("ivi")
    await core.add_package(name, "2.1.0", expression=f'has_component "^{number}$" AND has_package "^base$" "^1"')
    await provision(core, built(vin, ("base", "1.0.0"), components=(number,)))

    async def look() -> list[Any]:
        body: list[Any] = (await core.resolver.resolve(name, "2.1.0")).body
        return body

    resolved = await until(look, "the Resolver knows the vehicle")
    assert resolved == [{"vin": vin, "packages": [{"name": name, "version": "2.1.0"}]}]


async def test_caller_of_another_boundary_may_not_provision(core: RunningCore) -> None:
    answer = await core.stranger.send("POST", "/logistics/vehicles", b"")
    assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")
    answer = await core.web.send("POST", "/logistics/vehicles", b"")
    assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")


async def test_parameter_that_provisioning_does_not_take_is_refused(core: RunningCore) -> None:
    answer = await core.logistics.send("POST", "/logistics/vehicles", b"", query={"dry": "true"})
    assert (answer.status, answer.body["detail"]) == (
        400,
        "There is no query parameter 'dry': this call takes none.",
    )
