"""SQL of loading: dictionaries, and the fleet in slices of row ids.

A slice is read as one text a column, which the engine concatenates: for millions of rows that takes a fraction of
reading them one by one. Engines truncate a text that is too long for them; then it has too few numbers, and the slice
is read in two halves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.resolver.changes.model import Kind, Texts
from sota.resolver.index.vin_pattern import VIN_LENGTH
from sota.resolver.sql import batches
from sota.resolver.tables import vehicle
from sota.resolver.things import SOURCES

Numbers = npt.NDArray[np.int64]
MAX_THING = 1 << 32
"""Numbers of things stay below this, so that a link fits into one 64-bit number."""


async def prepare(tx: Tx) -> None:
    """Allow MariaDB texts longer than a megabyte on this connection."""
    if tx.dialect.name != "sqlite":
        await tx.execute(sa.text("SET SESSION group_concat_max_len = 1073741824"))


async def read_texts(tx: Tx, kind: Kind, numbers: Collection[int] | None = None) -> dict[int, Texts]:
    """Read the texts of things: all of a kind, or those of existing numbers."""
    source = SOURCES[kind]
    query = sa.select(source.number, *source.texts)
    if numbers is None:
        return {row[0]: tuple(row[1:]) for row in await tx.execute(query)}
    found: dict[int, Texts] = {}
    for some in batches(sorted(numbers)):
        rows = await tx.execute(query.where(source.number.in_(some)))
        found |= {row[0]: tuple(row[1:]) for row in rows}
    return found


async def read_vins(tx: Tx, vehicles: Iterable[int]) -> dict[int, str]:
    """Read the VINs of vehicles; a missing vehicle is left out."""
    found: dict[int, str] = {}
    for some in batches(sorted(vehicles)):
        query = sa.select(vehicle.c.id, vehicle.c.vin).where(vehicle.c.id.in_(some))
        found |= {row.id: row.vin for row in await tx.execute(query)}
    return found


async def last_vehicle(tx: Tx) -> int:
    """Return the highest row id of a vehicle; 0 if there is none."""
    return (await tx.execute(sa.select(sa.func.max(vehicle.c.id)))).scalar_one() or 0


async def next_vehicle(tx: Tx, first: int) -> int | None:
    """Return the lowest row id from ``first`` on; None if there is none."""
    found: int | None = (
        await tx.execute(sa.select(sa.func.min(vehicle.c.id)).where(vehicle.c.id >= first))
    ).scalar_one()
    return found


async def read_vehicles(tx: Tx, first: int, last: int) -> tuple[Numbers, npt.NDArray[np.uint8]]:
    """Read the vehicles of a range of row ids: the ids, and a row of 17 bytes for each.

    Raises:
        ValueError: a VIN does not have 17 characters.
    """
    columns = sa.func.group_concat(vehicle.c.id), sa.func.group_concat(vehicle.c.vin)
    query = sa.select(sa.func.count(), *columns).where(vehicle.c.id.between(first, last))
    count, ids, vins = (await tx.execute(query)).one()
    if not count:
        return np.empty(0, np.int64), np.empty((0, VIN_LENGTH), np.uint8)
    content = np.frombuffer(f"{_text(vins)},".encode(), dtype=np.uint8)
    numbers = _numbers(ids)
    if (len(numbers) < count or len(content) < count * (VIN_LENGTH + 1)) and first < last:
        middle = (first + last) // 2
        halves = [await read_vehicles(tx, first, middle), await read_vehicles(tx, middle + 1, last)]
        return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])
    if len(numbers) != count or len(content) != count * (VIN_LENGTH + 1):
        raise ValueError(f"a VIN in the database has not {VIN_LENGTH} characters, near the row {first}")
    return numbers, content.reshape(count, VIN_LENGTH + 1)[:, :VIN_LENGTH]


async def read_links(tx: Tx, kind: Kind, first: int, last: int) -> tuple[Numbers, Numbers]:
    """Read the links of a range of row ids: owners and things, side by side."""
    source = SOURCES[kind]
    # Below 2^53, where an engine that computes in floating point is exact, too: a slice has few vehicles.
    key = (source.owner - first) * MAX_THING + source.thing
    query = sa.select(sa.func.count(), sa.func.group_concat(key)).where(source.owner.between(first, last))
    count, text = (await tx.execute(query)).one()
    if not count:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keys = _numbers(text)
    if len(keys) == count:
        return keys // MAX_THING + first, keys % MAX_THING
    if first == last:
        raise ValueError(f"the links of vehicle {first} are too many to be read at once")
    middle = (first + last) // 2
    owners, things = await read_links(tx, kind, first, middle)
    more_owners, more_things = await read_links(tx, kind, middle + 1, last)
    return np.concatenate([owners, more_owners]), np.concatenate([things, more_things])


def check_numbers(texts: Mapping[int, Texts]) -> None:
    """Refuse numbers of things that do not fit into a link.

    Raises:
        ValueError: a number is too high.
    """
    if texts and max(texts) >= MAX_THING:
        raise ValueError(f"row {max(texts)} of a dictionary is beyond {MAX_THING}")


def _numbers(text: str | bytes) -> Numbers:
    return np.fromstring(_text(text), dtype=np.int64, sep=",")


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("ascii")
