"""Vehicles provisioned in bulk: by several streams at once, and what is asked of the fleet right afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.support.answer import Answer
from tests.support.core import RunningCore, queue_request
from tests.support.names import new_name, new_vin
from tests.support.provisioning import built, provision
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
STREAMS, LINES = 4, 500


async def offered(core: RunningCore, part_number: str) -> dict[str, Any]:
    """Register a package for the vehicles with a component; return the request that queues it."""
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", expression=f'has_component "^{part_number}$"')
    return queue_request(name, "2.1.0")


async def accepted(core: RunningCore, request: dict[str, Any]) -> Answer:
    """Send a request until it is accepted; the only other answer is 503."""

    async def send() -> Answer | None:
        answer = await core.web.send("POST", "/install-requests", request)
        assert answer.status in (200, 503), answer.body
        return answer if answer.status == 200 else None

    return await until(send, "the request is accepted", timeout_s=60)


async def queued_for(core: RunningCore, answer: Answer) -> int:
    assert answer.status == 200, answer.body
    shown = (await core.web.send("GET", f"/install-requests/{answer.body['install_request_id']}")).body
    return int(shown["counts"]["pending"])


async def test_streams_that_bring_the_same_new_part_numbers_have_no_line_refused(core: RunningCore) -> None:
    numbers = [new_name("TCU") for _ in range(LINES)]
    streams = [
        [built(new_vin(), ("ivi", "1.0.0"), components=(numbers[at], numbers[-at])) for at in range(LINES)]
        for _ in range(STREAMS)
    ]

    answers = await asyncio.gather(*(provision(core.logistics, lines) for lines in streams))

    statuses = Counter(result["status"] for answer in answers for result in answer.body)
    assert statuses == {"inserted": STREAMS * LINES}


async def test_streams_that_bring_the_same_new_vehicles_have_no_line_refused(core: RunningCore) -> None:
    lines = [built(new_vin(), ("ivi", "1.0.0"), components=("TCU-7",)) for _ in range(LINES)]

    answers = await asyncio.gather(*(provision(core.logistics, lines[::step]) for step in (1, -1, 1, -1)))

    for answer in answers:
        assert Counter(result["status"] for result in answer.body).keys() <= {"inserted", "unchanged"}
        assert len(answer.body) == LINES
    inserted = Counter(result["vin"] for answer in answers for result in answer.body if result["status"] == "inserted")
    assert inserted == {line["vin"]: 1 for line in lines}


async def test_request_right_after_an_import_reaches_each_vehicle(core: RunningCore) -> None:
    number = new_name("TCU")
    request = await offered(core, number)
    lines = [built(new_vin(), ("base", "1.0.0"), components=(number,)) for _ in range(3 * LINES)]

    imported = await provision(core.logistics, lines)
    answer = await accepted(core, request)

    assert {result["status"] for result in imported.body} == {"inserted"}
    assert await queued_for(core, answer) == len(lines)


async def test_batch_that_holds_one_vehicle_twice_is_taken_in_its_order(core: RunningCore) -> None:
    vin = new_vin()
    lines = [built(vin, ("ivi", f"1.{version}.0")) for version in range(3)]
    answer = await provision(core.logistics, lines)
    assert [result["status"] for result in answer.body] == ["inserted", "changed", "changed"]
    assert await core.installed(vin) == [{"name": "ivi", "version": "1.2.0"}]
