"""What a vehicle says with a credential that is revoked counts for nothing at Core, whatever the node lets through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority
from sota.core.identity.revocations import RevocationList
from tests.support.core import RunningCore, running_core
from tests.support.resolver import new_vin

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    folder = tmp_path_factory.mktemp("core")
    Authority.open(folder / "authority")
    async with running_core(f"sqlite:///{folder / 'core.db'}", folder, authority=folder / "authority") as started:
        yield started


async def enrolled(core: RunningCore) -> tuple[str, str]:
    """Give a vehicle an identity; gives its VIN and its credential's identifier."""
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
    assert await say("another-credential") == 200


async def test_a_core_that_starts_knows_at_once_what_is_revoked(core: RunningCore, tmp_path: Path) -> None:
    vin, _ = await enrolled(core)
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "lost"})
    rereading = RevocationList(core.db, core.program.clock, tmp_path / "no folder" / "revoked.txt")
    (tmp_path / "no folder").write_text("a file stands in its way")

    await rereading.follow()

    listed = (core.folder / "revoked.txt").read_text().split()
    assert listed
    assert set(listed) <= rereading.entries
