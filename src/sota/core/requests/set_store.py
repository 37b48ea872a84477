"""SQL of package sets: the packages that vehicles of a request get, written once for all that get the same."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import sqlalchemy as sa

from sota.core.packages.model import Package
from sota.core.requests.model import InstallRequest, PackageKey
from sota.core.tables import download, install_request, package_set, update
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow

Packages = tuple[PackageKey, ...]
SetKey = tuple[int, Packages]
"""A position in a request, and the packages that its vehicles get, prerequisites first."""
IS_ITS_SET = sa.and_(
    package_set.c.request_id == update.c.request_id,
    package_set.c.position == update.c.position,
    package_set.c.set_number == update.c.set_number,
)
"""Joins an update with its package set."""
IS_ITS_REQUEST = sa.and_(install_request.c.id == update.c.request_id, install_request.c.position == update.c.position)
"""Joins an update with its package of an install request."""


@dataclass(slots=True)
class Sets:
    """The numbers of a request's sets; None for one that names a package which is not registered."""

    numbers: dict[SetKey, int | None] = field(default_factory=dict)
    free: int = 0

    def number(self, new: Iterable[SetKey], known: Container[PackageKey]) -> dict[SetKey, int | None]:
        """Return the numbers that new sets will have.

        >>> Sets({(0, ()): 0}, free=1).number([(0, (("maps", "1.0"),)), (0, (("ivi", "2.0"),))], {("ivi", "2.0")})
        {(0, (('maps', '1.0'),)): None, (0, (('ivi', '2.0'),)): 1}
        """
        free = itertools.count(self.free)
        return {key: next(free) if all(package in known for package in key[1]) else None for key in new}

    def add(self, numbered: Mapping[SetKey, int | None]) -> None:
        """Add sets that are written."""
        self.numbers.update(numbered)
        self.free = max((number + 1 for number in numbered.values() if number is not None), default=self.free)


async def insert_sets(
    tx: Tx, parts: Iterable[InstallRequest], numbered: Mapping[SetKey, int | None], known: Mapping[PackageKey, Package]
) -> None:
    """Write sets of a request by their numbers; ``parts`` are the packages of the request that they belong to."""
    by_position = {part.position: part for part in parts}
    rows = [
        {
            "request_id": by_position[position].id,
            "position": position,
            "set_number": number,
            "place": place,
            "package_name": key[0],
            "package_version": key[1],
            "size": size_of(by_position[position], known[key]),
        }
        for (position, packages), number in numbered.items()
        if number is not None
        for place, key in enumerate(packages)
    ]
    if rows:
        await tx.execute(package_set.insert(), rows)


async def read_sets(tx: Tx, request_id: UUID) -> Sets:
    """Read the sets of a request."""
    table, found = package_set, dict[tuple[int, int], list[PackageKey]]()
    query = sa.select(table).where(table.c.request_id == request_id)
    for row in await tx.execute(query.order_by(table.c.position, table.c.set_number, table.c.place)):
        found.setdefault((row.position, row.set_number), []).append((row.package_name, row.package_version))
    sets = Sets()
    sets.add({(position, tuple(packages)): number for (position, number), packages in found.items()})
    return sets


async def read_parts(tx: Tx, update_ids: Sequence[UUID]) -> dict[UUID, list[AnyRow]]:
    """Read, for each of these updates, its packages in their order, and what its vehicle has of them.

    The rows have ``package_name``, ``package_version``, ``size``, and ``received`` and ``block_size``, which are None
    until the vehicle is told.
    """
    found: dict[UUID, list[AnyRow]] = {update_id: [] for update_id in update_ids}
    if found:
        for row in await tx.execute(_PARTS, {"ids": list(update_ids)}):
            found[row.update_id].append(row)
    return found


def size_of(request: InstallRequest, package: Package) -> int:
    """How many bytes the vehicle gets: none where the package is to go."""
    return 0 if request.order.command == "remove" else package.size


_PARTS = (
    sa.select(
        update.c.update_id,
        package_set.c.package_name,
        package_set.c.package_version,
        package_set.c.size,
        download.c.received,
        download.c.block_size,
    )
    .select_from(update)
    .join(package_set, IS_ITS_SET)
    .outerjoin(
        download, sa.and_(download.c.update_id == update.c.update_id, download.c.position == package_set.c.place)
    )
    .where(update.c.update_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(update.c.update_id, package_set.c.place)
)
