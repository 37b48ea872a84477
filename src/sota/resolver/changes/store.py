"""SQL of the log of changes.

The head row is the lock: an appending transaction updates it, and so waits until earlier ones have committed. That is
why numbers follow the order of commits, which an auto-increment column would not do. Append last in a transaction, so
that others wait only for the commit.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.resolver.changes.model import Changes
from sota.resolver.tables import change, change_head

MARK_BYTES = 8


class Position(NamedTuple):
    """A position in the log: the last entry's number, and its mark, which identifies this history."""

    number: int
    mark: bytes


class Entry(NamedTuple):
    """One transaction's changes."""

    position: Position
    content: bytes


async def append(tx: Tx, changes: Changes) -> None:
    """Append this transaction's changes, if there are any."""
    for part in changes.parts():
        mark = secrets.token_bytes(MARK_BYTES)
        number = await _advance(tx, mark)
        await tx.execute(change.insert().values(number=number, mark=mark, content=part.encode()))


async def _advance(tx: Tx, mark: bytes) -> int:
    """Advance the head; return the new number."""
    step = change_head.update().values(number=change_head.c.number + 1, mark=mark)
    if tx.dialect.update_returning:
        moved = await tx.execute(step.returning(change_head.c.number))
    else:  # MariaDB has no such statement
        await tx.execute(step)
        moved = await tx.execute(sa.select(change_head.c.number))
    number: int = moved.scalar_one()
    return number


async def read_head(tx: Tx) -> Position:
    """Return the position after everything that is committed."""
    row = (await tx.execute(sa.select(change_head.c.number, change_head.c.mark))).one()
    return Position(row.number, bytes(row.mark))


async def read_after(tx: Tx, number: int, count: int) -> Sequence[Entry]:
    """Read the entries after a number, in order."""
    query = sa.select(change.c.number, change.c.mark, change.c.content).order_by(change.c.number).limit(count)
    found = await tx.execute(query.where(change.c.number > number))
    return [Entry(Position(row.number, bytes(row.mark)), bytes(row.content)) for row in found]


async def holds(tx: Tx, position: Position) -> bool:
    """Return whether the log still has the entry at this position, with this mark."""
    query = sa.select(change.c.mark).where(change.c.number == position.number)
    found = (await tx.execute(query)).scalar_one_or_none()
    return found is not None and bytes(found) == position.mark


async def prune(tx: Tx, kept: int, at_once: int) -> bool:
    """Delete some entries beyond the newest ``kept``; return whether there may be more."""
    head = await read_head(tx)
    query = sa.select(change.c.number).where(change.c.number <= head.number - max(kept, 1))
    numbers = [row.number for row in await tx.execute(query.order_by(change.c.number).limit(at_once))]
    if numbers:
        await tx.execute(change.delete().where(change.c.number <= numbers[-1]))
    return len(numbers) == at_once
