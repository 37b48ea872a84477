"""The Web Server with damaged rows: each is logged with its id and set aside, and everything else continues."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import NewVehicle
from sota.boundaries.b3_web_resolver.messages import VehicleToResolve
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx
from sota.web.registers import store
from sota.web.registers.model import Kind, NewRegistration
from sota.web.tables import REGISTRATION, WEB_KEY
from tests.conftest import new_database
from tests.support.backend import Backend, running_backend
from tests.support.names import new_vin

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
async def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    databases = [new_database(request, tmp_path_factory, request.param) for _ in range(3)]
    async with running_backend(tmp_path_factory.mktemp("backend"), databases) as running:
        yield running


async def test_registration_that_cannot_be_read_holds_no_other_one_up(backend: Backend) -> None:
    broken, whole = new_vin(), new_vin()
    now = backend.web.clock.now()
    for vin in (broken, whole):
        new = NewRegistration(Kind.VEHICLE, f"vehicle {vin}", NewVehicle(vin=vin), VehicleToResolve(vin=vin))

        async def write(tx: Tx, new: NewRegistration = new, vin: str = vin) -> None:
            await store.insert(tx, new_id(), new, now=now, due_at=now)
            if vin == broken:
                is_it = REGISTRATION.c.object == f"vehicle {broken}"
                await tx.execute(REGISTRATION.update().where(is_it).values(core_body="{broken"))

        await backend.web.db.transact(write)
    await backend.web.registers.resume(everything=True)
    assert (await backend.ask("GET", f"/api/v1/vehicles/{whole}")).status == 200
    answer = await backend.ask("POST", "/api/v1/vehicles", {"vin": broken})
    assert (answer.status, answer.message) == (503, "Service Unavailable")
    assert await backend.web.trouble() is None


async def test_key_that_cannot_be_read_is_made_again(backend: Backend) -> None:
    await backend.web.db.transact(lambda tx: tx.execute(WEB_KEY.update().values(value="no key")))
    key = await backend.web.sessions.return_key()
    assert len(key) == 32
    assert await backend.web.sessions.return_key() == key
    async with backend.web.db.read() as tx:
        assert len((await tx.execute(sa.select(WEB_KEY))).all()) == 1
