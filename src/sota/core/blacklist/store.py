"""SQL of the blacklist, and of its effects."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import BlacklistPreview
from sota.core.queue.store import bringing
from sota.core.requests.model import OPEN, PackageKey
from sota.core.requests.set_store import IS_ITS_SET
from sota.core.tables import installed_package, package, package_set, update
from sota.kit.sql.database import Tx


async def write(tx: Tx, key: PackageKey, comment: str | None, at: datetime | None) -> None:
    """Blacklist a package, or (without a time) remove it from the blacklist."""
    name, version = key
    await tx.execute(
        package.update()
        .where(package.c.name == name, package.c.version == version)
        .values(blacklisted_at=at, blacklist_comment=comment)
    )


async def count_touched(tx: Tx, key: PackageKey) -> BlacklistPreview:
    """Count waiting and running updates of a package, their vehicles, and vehicles that have it."""
    by_status = bringing(key, update.c.status, sa.func.count().label("number")).where(update.c.status.in_(OPEN))
    counts = Counter({row.status: row.number for row in await tx.execute(by_status.group_by(update.c.status))})
    vehicles = bringing(key, sa.func.count(sa.distinct(update.c.vin))).where(update.c.status.in_(OPEN))
    having = sa.select(sa.func.count()).where(installed_package.c.name == key[0], installed_package.c.version == key[1])
    return BlacklistPreview(
        pending=counts["pending"],
        in_flight=counts["in_flight"],
        vehicles=(await tx.execute(vehicles)).scalar_one(),
        installed_on=(await tx.execute(having)).scalar_one(),
    )


async def list_waited_for(tx: Tx) -> list[PackageKey]:
    """Return the blacklisted packages that updates still wait with: their cancelling was interrupted."""
    is_waiting = sa.exists().where(
        package_set.c.package_name == package.c.name,
        package_set.c.package_version == package.c.version,
        IS_ITS_SET,
        update.c.status == "pending",
        update.c.superseded_by.is_(None),
    )
    query = sa.select(package.c.name, package.c.version).where(package.c.blacklisted_at.is_not(None), is_waiting)
    return [(row.name, row.version) for row in await tx.execute(query)]
