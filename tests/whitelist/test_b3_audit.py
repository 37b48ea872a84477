"""B3: the audit trail of the External Resolver, at the real program."""

from __future__ import annotations

import pytest

from sota.kit.audit.tables import RECORD
from tests.support.answer import Answer
from tests.support.names import new_name, new_vin
from tests.support.resolver import ProgramCaller, RunningResolver

pytestmark = pytest.mark.anyio


async def trail(caller: ProgramCaller, **query: str) -> Answer:
    return await caller.send("GET", "/audit", query=query)


@pytest.mark.whitelist("X-B3-30", "listed")
async def test_resolver_tells_who_changed_what_and_not_who_asked(resolver: RunningResolver) -> None:
    name = new_name("filter")
    assert (await resolver.web.send("POST", "/filters", {"name": name, "expression": "TRUE"})).status == 200
    answer = await trail(resolver.web, object=name)
    assert answer.status == 200
    (record,) = answer.body
    assert (record["actor"], record["interaction"], record["object"]) == (
        "Web Server",
        "WL-B3-4",
        f"filters name={name}",
    )
    assert (record["outcome"], record["status"]) == ("inserted", 200)
    await resolver.web.send("POST", "/resolve", {"package": {"name": name, "version": "1.0.0"}})
    assert len((await trail(resolver.web, object=name)).body) == 1


@pytest.mark.whitelist("X-B3-30", "empty")
async def test_resolver_has_no_such_record(resolver: RunningResolver) -> None:
    answer = await trail(resolver.web, actor="nobody")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B3-30", "unauthenticated")
@pytest.mark.whitelist("X-B3-31", "unauthenticated")
async def test_resolvers_trail_is_for_the_web_server_alone(resolver: RunningResolver) -> None:
    for path in ("/audit", "/audit/verify"):
        for caller in (resolver.stranger, resolver.core):
            answer = await caller.send("GET", path)
            assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")


@pytest.mark.whitelist("X-B3-31", "checked")
async def test_resolver_checks_its_trail_and_finds_what_was_changed(resolver: RunningResolver) -> None:
    await resolver.web.send("POST", "/vehicles", {"vin": new_vin()})
    answer = await resolver.web.send("GET", "/audit/verify")
    assert (answer.status, answer.body["holds"], answer.body["broken"]) == (200, True, None)
    last = answer.body["records"]

    async def rewrite(actor: str) -> None:
        change = RECORD.update().where(RECORD.c.number == last).values(actor=actor)
        await resolver.db.transact(lambda tx: tx.execute(change))

    await rewrite("another user")
    answer = await resolver.web.send("GET", "/audit/verify")
    await rewrite("Web Server")
    assert (answer.body["holds"], answer.body["broken_at"]) == (False, last)
    assert answer.body["broken"] == f"record {last} was changed"
