"""B2: the audit trail of SOTA Core, at the real program."""

from __future__ import annotations

import pytest

from tests.support.answer import Answer
from tests.support.core import RunningCore
from tests.support.names import new_vin
from tests.support.resolver import ProgramCaller

pytestmark = pytest.mark.anyio
NDJSON = {"content-type": "application/x-ndjson"}


async def trail(caller: ProgramCaller, **query: str) -> Answer:
    return await caller.send("GET", "/audit", query=query)


@pytest.mark.whitelist("X-B2-46", "listed")
async def test_core_tells_who_changed_what(core: RunningCore) -> None:
    vin = new_vin()
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 409
    answer = await trail(core.web, object=vin)
    assert answer.status == 200
    again, first = answer.body
    assert (first["actor"], first["interaction"], first["object"]) == ("Web Server", "WL-B2-2", f"vehicles vin={vin}")
    assert (first["outcome"], first["status"], first["address"]) == ("inserted", 200, "127.0.0.1")
    assert (again["outcome"], again["status"], again["previous_hash"]) == ("vin_exists", 409, first["hash"])
    assert (await trail(core.web, limit="0")).status == 400


async def test_what_is_provisioned_past_the_web_server_is_in_cores_trail(core: RunningCore) -> None:
    vin = new_vin()
    line = f'{{"vin": "{vin}", "components": [], "packages": []}}\n'.encode()
    answer = await core.logistics.send("POST", "/logistics/vehicles", line, headers=NDJSON)
    assert answer.status == 200
    (record, *_) = (await trail(core.web, object="logistics/vehicles")).body
    assert (record["actor"], record["interaction"]) == ("Logistics & Provisioning API", "X-B12-1")


@pytest.mark.whitelist("X-B2-46", "empty")
async def test_core_has_no_such_record(core: RunningCore) -> None:
    answer = await trail(core.web, actor="nobody")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B2-46", "unauthenticated")
@pytest.mark.whitelist("X-B2-47", "unauthenticated")
async def test_cores_trail_is_for_the_web_server_alone(core: RunningCore) -> None:
    for path in ("/audit", "/audit/verify"):
        for caller in (core.stranger, core.logistics):
            answer = await caller.send("GET", path)
            assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")


@pytest.mark.whitelist("X-B2-47", "checked")
async def test_core_checks_its_trail(core: RunningCore) -> None:
    await core.web.send("POST", "/vehicles", {"vin": new_vin()})
    answer = await core.web.send("GET", "/audit/verify")
    assert answer.status == 200
    assert (answer.body["holds"], answer.body["broken_at"], answer.body["broken"]) == (True, None, None)
    assert answer.body["records"] >= 1
