"""B7, SOTA Core and the RVI Node Server: every outcome, against the real Core and a played edge."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.core import RunningCore, running_core

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def core(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    async with running_core(database_url, tmp_path_factory.mktemp("core")) as running:
        yield running


@pytest.mark.whitelist("WL-B7-7", "installed")
async def test_report_of_success_is_recorded(core: RunningCore) -> None:
    offer = await core.offer()
    content = await offer.vehicle.download(offer.index, offer.package)
    status, answer = await offer.vehicle.report(offer.index, offer.package)

    assert content == offer.content
    assert (status, answer["result"]["message"]) == (200, f"{offer.package} success")
    assert (await offer.update())["status"] == "installed"
    told = await offer.vehicle.next_message("reported", offer.index)
    assert told["outcome"] == {"status": 200, "message": f"{offer.package} success"}
