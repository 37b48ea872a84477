"""A vehicle's epoch: another one for each life that the vehicle has in Core's database."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from sota.core.tables import vehicle
from sota.core.vehicles.epoch_store import renew_epochs
from tests.support.core import RunningCore

pytestmark = pytest.mark.anyio


async def epoch_of(core: RunningCore, vin: str) -> str:
    """Return the vehicle's epoch."""
    async with core.db.read() as tx:
        found = (await tx.execute(sa.select(vehicle.c.epoch).where(vehicle.c.vin == vin))).scalar_one()
    return str(found)


async def test_each_registration_has_an_epoch_of_its_own(core: RunningCore) -> None:
    one, other = await core.add_vehicle(), await core.add_vehicle()
    epochs = {await epoch_of(core, one), await epoch_of(core, other)}

    assert len(epochs) == 2
    assert all(len(epoch) == 16 and epoch.strip("0") for epoch in epochs)


@pytest.mark.parametrize("path", ["", "?erase=true"], ids=["retired", "erased"])
async def test_registering_a_vin_again_renews_its_epoch(core: RunningCore, path: str) -> None:
    vin = await core.add_vehicle()
    before = await epoch_of(core, vin)

    assert (await core.web.send("DELETE", f"/vehicles/{vin}{path}")).status == 200
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200

    assert await epoch_of(core, vin) != before


async def test_a_restored_database_gives_every_vehicle_another_epoch(core: RunningCore) -> None:
    vins = [await core.add_vehicle() for _ in range(2)]
    before = [await epoch_of(core, vin) for vin in vins]

    count = await core.db.transact(renew_epochs)

    assert count >= len(vins)
    after = [await epoch_of(core, vin) for vin in vins]
    assert not set(before) & set(after)
