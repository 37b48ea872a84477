"""What is listed, ended or tried again while others change it: each call acts on what existed when it began."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from sota.core.queue import service
from sota.core.tables import update
from tests.support.answer import Answer
from tests.support.core import RunningCore
from tests.support.names import new_name
from tests.support.resolver import next_cursor

pytestmark = pytest.mark.anyio
FLEET = 6


async def act(core: RunningCore, request_id: str, what: str) -> Answer:
    answer = await core.web.send("POST", f"/install-requests/{request_id}/{what}")
    assert answer.status == 200, answer.body
    return answer


async def queued(core: RunningCore, count: int = FLEET) -> tuple[list[str], str]:
    """Queue a package for some vehicles; return their VINs and the request's id."""
    vins = [await core.add_vehicle() for _ in range(count)]
    name = new_name("ivi")
    expression = " OR ".join(f'vin_matches "{vin}"' for vin in vins)
    await core.add_package(name, "2.1.0", expression=expression)
    return vins, await core.queue(name, "2.1.0")


async def test_retry_does_not_try_again_what_is_cancelled_while_it_works(
    core: RunningCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TRIED_AT_ONCE", 1)
    vins, request_id = await queued(core)
    await act(core, request_id, "cancel")

    retry = asyncio.create_task(act(core, request_id, "retry-failed"))
    async with asyncio.timeout(60):
        while not retry.done():  # whatever the retry makes is cancelled at once
            await act(core, request_id, "cancel")

    assert (await retry).body["changed"] == FLEET
    async with core.db.read() as tx:
        made = (await tx.execute(sa.select(sa.func.count()).where(update.c.vin.in_(vins)))).scalar_one()
    assert made == 2 * FLEET, "each vehicle has the update that was queued, and one of the retry"


async def test_second_retry_tries_again_what_was_cancelled_after_the_first(core: RunningCore) -> None:
    _, request_id = await queued(core)
    for _ in range(3):
        await act(core, request_id, "cancel")
        assert (await act(core, request_id, "retry-failed")).body["changed"] == FLEET


@pytest.mark.parametrize("action", ["cancel", "stop", "blacklist"])
async def test_call_leaves_alone_what_is_queued_while_it_works(
    core: RunningCore, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setattr("sota.core.queue.endings.PENDING_AT_ONCE", 1)
    _, request_id = await queued(core, 3)
    request = (await core.web.send("GET", f"/install-requests/{request_id}")).body
    package = f"/packages/{request['package']['name']}/2.1.0/blacklist"
    if action == "blacklist":
        call = asyncio.create_task(core.web.send("PUT", package, {"comment": "a fault"}))
    else:
        call = asyncio.create_task(core.web.send("POST", f"/install-requests/{request_id}/{action}"))
    async with asyncio.timeout(60):
        while not call.done():
            await act(core, request_id, "retry-failed")

    assert (await call).status == 200
    counts = (await core.web.send("GET", f"/install-requests/{request_id}")).body["counts"]
    assert counts["cancelled"] + counts["pending"] == 3


async def test_queue_of_a_vehicle_is_listed_whole_where_an_update_ends_between_two_pages(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    requests = []
    for _ in range(5):
        name = new_name("ivi")
        await core.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
        requests.append(await core.queue(name, "2.1.0"))
    path = f"/vehicles/{vin}/queue"
    ids = [one["update_id"] for one in (await core.web.send("GET", path)).body]

    first = await core.web.send("GET", path, query={"limit": "2"})
    await act(core, requests[0], "cancel")
    cursor = next_cursor(first)
    assert cursor is not None
    rest = await core.web.send("GET", path, query={"limit": "10", "cursor": cursor})

    assert [one["update_id"] for one in first.body] == ids[:2]
    assert [one["update_id"] for one in rest.body] == ids[2:]
    assert next_cursor(rest) is None


async def test_order_given_by_hand_is_listed_by_pages(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    for _ in range(3):
        name = new_name("ivi")
        await core.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
        await core.queue(name, "2.1.0")
    path = f"/vehicles/{vin}/queue"
    wanted = [one["update_id"] for one in (await core.web.send("GET", path)).body][::-1]
    assert (await core.web.send("PUT", f"{path}/order", wanted)).status == 200

    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await core.web.send("GET", path, query={"limit": "1", **({"cursor": cursor} if cursor else {})})
        listed += [one["update_id"] for one in page.body]
        cursor = next_cursor(page)
    assert listed == wanted
