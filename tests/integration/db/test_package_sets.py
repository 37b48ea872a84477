"""The migration to shared package sets, in both directions, with existing updates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Database, Id, Tx
from sota.kit.sql.migrations import downgrade, upgrade
from tests.conftest import new_database

pytestmark = pytest.mark.anyio
ROOM = "sota.core.migrations"
MAPS, IVI = ("maps", "1.0", 5), ("ivi", "2.0", 7)
NOW = datetime.now(UTC)
TIMES = {"start_at": NOW, "end_at": NOW + timedelta(days=1), "created_at": NOW}


@pytest.fixture(params=["sqlite", "mariadb"])
async def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    database = Database(new_database(request, tmp_path_factory, request.param))
    await upgrade(database, ROOM, "0007")
    yield database
    await database.close()


async def insert(tx: Tx, table: str, **values: Any) -> None:
    """Insert a row into a table as it was at that revision."""
    kinds: dict[type, Any] = {UUID: Id(), datetime: sa.DateTime()}
    typed = [sa.column(name, kinds.get(type(value))) for name, value in values.items()]
    plain = {
        name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in values.items()
    }
    await tx.execute(sa.insert(sa.table(table, *typed)).values(**plain))


async def add_update(
    tx: Tx, request_id: UUID, vin: str, status: str, first: int, *packages: tuple[str, str, int]
) -> UUID:
    update_id = new_id()
    await insert(
        tx, "vehicle_update", update_id=update_id, request_id=request_id, position=0, vin=vin, package_name="ivi",
        package_version="2.0", size=12, status=status, priority=10, changed_at=NOW, next_try_at=NOW, **TIMES,
    )  # fmt: skip
    for position, (name, version, size) in enumerate(packages):
        await insert(
            tx, "download", vin=vin, download_index=first + position, update_id=update_id, position=position,
            package_name=name, package_version=version, size=size, block_size=65_536, received="", state="pending",
        )  # fmt: skip
    return update_id


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.read() as tx:
        return [tuple(row) for row in await tx.execute(sa.text(query))]


async def test_sets_are_made_of_downloads_and_downloads_of_sets(database: Database) -> None:
    async def fill(tx: Tx) -> dict[str, UUID]:
        request_id = new_id()
        await insert(
            tx, "install_request", id=request_id, position=0, kind="request", package_name="ivi", package_version="2.0",
            priority=10, request_confirmation=False, command="install", allow_downgrade=False, left_out=0, **TIMES,
        )  # fmt: skip
        for vin in ("ONE", "TWO"):
            await insert(tx, "vehicle", vin=vin, created_at=NOW)
        return {
            "both": await add_update(tx, request_id, "ONE", "pending", 1, MAPS, IVI),
            "alone": await add_update(tx, request_id, "TWO", "installed", 1, IVI),
            "again": await add_update(tx, request_id, "TWO", "pending", 2, MAPS, IVI),
            "unknown": await add_update(tx, request_id, "ONE", "failed", 0),
        }

    made = await database.transact(fill)
    await upgrade(database, ROOM, "0008")
    found = await rows(database, "SELECT update_id, set_number FROM vehicle_update")
    number = {name: dict(found)[update_id.bytes] for name, update_id in made.items()}
    assert number["unknown"] is None
    assert number["both"] == number["again"]
    assert {number["both"], number["alone"]} == {0, 1}
    sets = await rows(database, "SELECT set_number, place, package_name, package_version, size FROM package_set")
    assert sorted(sets) == sorted([(number["both"], 0, *MAPS), (number["both"], 1, *IVI), (number["alone"], 0, *IVI)])
    # What waits is given its indexes when its vehicle is told.
    assert await rows(database, "SELECT vin, download_index FROM download") == [("TWO", 1)]

    await downgrade(database, ROOM, "0007")
    downloads = "SELECT vin, download_index, position, package_name, size, state FROM download ORDER BY 1, 2"
    assert await rows(database, downloads) == [
        ("ONE", 1, 0, "maps", 5, "pending"),
        ("ONE", 2, 1, "ivi", 7, "pending"),
        ("TWO", 1, 0, "ivi", 7, "pending"),
        ("TWO", 2, 0, "maps", 5, "pending"),
        ("TWO", 3, 1, "ivi", 7, "pending"),
    ]


async def test_sqlite_looks_updates_up_by_what_is_rare(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/core.db")
    await upgrade(database, ROOM)
    conditions = {
        "update_id IN (x'00', x'01') AND status = 'pending'": "sqlite_autoindex_vehicle_update_1",
        "request_id = x'00' AND status = 'pending'": "vehicle_update_of_set",
        "vin IN ('ONE', 'TWO') AND status = 'pending'": "vehicle_update_by_vin",
        "status = 'in_flight' AND next_try_at <= '2026-01-01'": "vehicle_update_by_try",
    }
    used = {
        condition: (await rows(database, f"EXPLAIN QUERY PLAN SELECT size FROM vehicle_update WHERE {condition}"))[0][3]
        for condition in conditions
    }
    assert {condition: plan.split(" INDEX ")[1].split()[0] for condition, plan in used.items()} == conditions
    await database.close()
