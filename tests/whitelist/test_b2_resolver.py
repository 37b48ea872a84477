"""B2: the Web Server waits until the Resolver knows what Core has acknowledged."""

from __future__ import annotations

import pytest

from tests.support.core import RunningCore
from tests.support.names import new_name, new_vin
from tests.support.provisioning import built, provision

pytestmark = pytest.mark.anyio


@pytest.mark.whitelist("X-B2-48", "followed")
async def test_resolver_knows_what_was_acknowledged_when_the_wait_is_over(core: RunningCore) -> None:
    number, name = new_name("TCU"), new_name("ivi")
    await core.add_package(name, "2.1.0", expression=f'has_component "^{number}$"')
    vins = [new_vin() for _ in range(50)]
    await provision(core.logistics, [built(vin, components=(number,)) for vin in vins])

    answer = await core.web.send("GET", "/resolver/followed")

    assert answer.status == 200
    resolved = (await core.resolver.resolve(name, "2.1.0")).body
    assert sorted(one["vin"] for one in resolved) == vins


@pytest.mark.whitelist("X-B2-48", "unauthenticated")
async def test_wait_for_the_resolver_is_for_the_web_server_alone(core: RunningCore) -> None:
    for caller in (core.stranger, core.logistics):
        answer = await caller.send("GET", "/resolver/followed")
        assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")
