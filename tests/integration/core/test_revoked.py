"""Core ignores messages with a revoked credential, also where the node lets them through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority, make_request
from sota.core.identity.revocations import RevocationList
from tests.support.core import RunningCore, running_core
from tests.support.edge import VehiclePlayer
from tests.support.names import new_vin
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    folder = tmp_path_factory.mktemp("core")
    Authority.open(folder / "authority")
    async with running_core(f"sqlite:///{folder / 'core.db'}", folder, authority=folder / "authority") as started:
        yield started


async def enrolled(core: RunningCore) -> tuple[str, str]:
    """Issue an identity to a vehicle; return its VIN and its credential's identifier."""
    vin = new_vin()
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    assert (await core.web.send("POST", f"/vehicles/{vin}/identities", {})).status == 200
    (one,) = (await core.web.send("GET", f"/vehicles/{vin}/identities")).body
    return vin, one["credential_id"]


async def test_core_itself_refuses_what_a_revoked_credential_says(core: RunningCore) -> None:
    vin, credential = await enrolled(core)
    body = {"vin": vin, "packages": [], "firmware": []}

    async def say(shown: str) -> int:
        return (await core.edge.say(vin, "packages", body, credential=shown))[0]

    assert await say(credential) == 200
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "The unit was stolen."})
    assert await say(credential) == 403
    assert (await core.edge.say(vin, "renew", {"vin": vin}, credential=credential))[0] == 403
    assert await say("another-credential") == 403


async def test_a_core_that_starts_knows_at_once_what_is_revoked(core: RunningCore, tmp_path: Path) -> None:
    vin, _ = await enrolled(core)
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "lost"})
    rereading = RevocationList(core.db, core.program.clock, tmp_path / "no folder" / "revoked.txt")
    (tmp_path / "no folder").write_text("a file stands in its way")

    await rereading.follow()

    listed = (core.folder / "revoked.txt").read_text().split()
    assert listed
    assert set(listed) <= rereading.entries


async def test_vehicle_whose_identity_another_tool_issued_is_revoked_by_its_vin(core: RunningCore) -> None:
    vin, foreign = new_vin(), "credential-of-another-tool"
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    body = {"vin": vin, "packages": [], "firmware": []}
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 200

    answer = await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "stolen"})

    assert (answer.status, answer.body["revoked"], answer.body["barred"]) == (200, 0, True)
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 403
    assert (await core.edge.say(vin, "renew", {"vin": vin}, credential=foreign))[0] == 403
    assert vin in (core.folder / "revoked.txt").read_text().split()


async def test_vehicle_that_is_enrolled_again_counts_and_its_former_identity_does_not(core: RunningCore) -> None:
    vin, foreign = new_vin(), "credential-of-another-tool"
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "stolen"})

    assert (await core.web.send("POST", f"/vehicles/{vin}/identities", {})).status == 200

    (one,) = (await core.web.send("GET", f"/vehicles/{vin}/identities")).body
    body = {"vin": vin, "packages": [], "firmware": []}
    assert (await core.edge.say(vin, "packages", body, credential=one["credential_id"]))[0] == 200
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 403
    assert f"{vin}+{one['credential_id']}" in (core.folder / "revoked.txt").read_text().split()


async def test_replacing_an_identity_revokes_those_that_another_tool_issued(core: RunningCore) -> None:
    vin, foreign = new_vin(), "credential-of-another-tool"
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    assert (await core.web.send("POST", f"/vehicles/{vin}/identities", {"replace": True})).status == 200
    body = {"vin": vin, "packages": [], "firmware": []}
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 403


async def test_retired_vehicle_is_barred_until_it_is_registered_again(core: RunningCore) -> None:
    vin, foreign = new_vin(), "credential-of-another-tool"
    body = {"vin": vin, "packages": [], "firmware": []}
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    assert (await core.web.send("DELETE", f"/vehicles/{vin}")).status == 200
    assert vin in (core.folder / "revoked.txt").read_text().split()
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 403

    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    await core.program.revocations.refresh()

    assert vin not in (core.folder / "revoked.txt").read_text().split()
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 200


async def test_registering_a_revoked_vehicle_again_does_not_let_its_identity_count(core: RunningCore) -> None:
    vin, foreign = new_vin(), "credential-of-another-tool"
    body = {"vin": vin, "packages": [], "firmware": []}
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "stolen"})
    assert (await core.web.send("DELETE", f"/vehicles/{vin}")).status == 200
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    await core.program.revocations.refresh()
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 403


async def test_erased_vehicle_leaves_no_vin_in_the_list(core: RunningCore) -> None:
    vin, _ = await enrolled(core)
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "stolen"})
    assert (await core.web.send("DELETE", f"/vehicles/{vin}", query={"erase": "true"})).status == 200
    assert vin not in (core.folder / "revoked.txt").read_text()


async def test_enrolling_a_vehicle_by_a_code_revokes_what_it_was_connected_with_before(core: RunningCore) -> None:
    vin, foreign = new_vin(), "credential-of-another-tool"
    body = {"vin": vin, "packages": [], "firmware": []}
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    await VehiclePlayer(core.edge, vin).connect()
    code = (await core.web.send("POST", f"/vehicles/{vin}/enrolment-codes", {})).body["code"]
    request = make_request("a name that counts for nothing")[1]

    async def was_seen() -> bool:
        return "last_seen_at" in (await core.web.send("GET", f"/vehicles/{vin}")).body

    await until(was_seen, "the vehicle is connected")
    enrolled = await core.web.send("POST", "/enrolments", {"vin": vin, "code": code, "request": request})

    assert enrolled.status == 200, enrolled.body
    assert (await core.edge.say(vin, "packages", body, credential=foreign))[0] == 403
    (one,) = (await core.web.send("GET", f"/vehicles/{vin}/identities")).body
    assert (await core.edge.say(vin, "packages", body, credential=one["credential_id"]))[0] == 200
