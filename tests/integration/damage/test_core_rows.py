"""Core with damaged rows: each is logged with its id and set aside, and everything else continues."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from sota.core import facts
from sota.core.tables import outbox
from sota.kit.sql.outbox import put
from tests.support.core import RunningCore
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("payload", ['[{"fact": "no such fact"}]', "[{broken", ""])
async def test_entry_of_the_outbox_is_set_aside_and_those_after_it_are_told(core: RunningCore, payload: str) -> None:
    vin = await core.add_vehicle()
    entry = await core.db.transact(lambda tx: put(tx, outbox, facts.KIND, vin, [], core.program.clock))
    broken = outbox.update().where(outbox.c.id == entry).values(payload=payload)
    await core.db.transact(lambda tx: tx.execute(broken))
    installed = [{"name": "ivi", "version": "1.0.0"}]
    assert (await core.web.send("PUT", f"/vehicles/{vin}/packages", installed)).status == 200

    async def is_only_one_left() -> bool:
        async with core.db.read() as tx:
            rows = (await tx.execute(sa.select(outbox.c.id, outbox.c.refused))).all()
        return [(row.id, row.refused is not None) for row in rows] == [(entry, True)]

    await until(is_only_one_left, "the fact after it is told")
    await core.db.transact(lambda tx: tx.execute(outbox.delete().where(outbox.c.id == entry)))


async def test_request_whose_reasons_cannot_be_read_is_listed(core: RunningCore) -> None:
    offer = await core.offer()
    await core.execute("UPDATE install_request SET left_out_reasons = '{broken'")
    listed = await core.web.send("GET", "/install-requests")
    assert listed.status == 200
    assert offer.request_id in [one["install_request_id"] for one in listed.body]


async def test_download_whose_blocks_cannot_be_read_is_sent_from_the_vehicles_word(core: RunningCore) -> None:
    broken, whole = await core.offer(), await core.offer()
    await core.execute(f"UPDATE download SET received = '1-x,' WHERE vin = '{broken.vehicle.vin}'")
    for offer in (whole, broken):
        assert await offer.vehicle.download(offer.index, offer.package) == offer.content
    assert (await broken.update())["status"] == "in_flight"


async def test_package_whose_signature_cannot_be_read_holds_no_other_download_up(core: RunningCore) -> None:
    broken, whole = await core.offer(), await core.offer()
    await core.execute(f"UPDATE package SET signature = '[' WHERE name = '{broken.package.partition('/')[0]}'")
    await broken.vehicle.initiate(broken.index)
    assert await whole.vehicle.download(whole.index, whole.package) == whole.content
    assert core.edge.to(broken.vehicle.vin, "start") == []
    assert await core.program.trouble() is None
