"""The outbox: what another program must be told is written in the transaction that makes it true, and relayed until
it is told.

At least once, in order for each ``topic`` (a VIN, an intent): a later entry of a topic waits for the one before.
A clock that is set back neither stops what waits nor turns its order round.
Receivers are idempotent on the entry's id. Nothing is lost by a kill at any point; an entry that its receiver refuses
for good (a ``SotaError`` below 500 that is no overload) is set aside with the reason, so that it cannot block what
comes after; so is one that cannot be read.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from sota.kit import damage
from sota.kit.clock import Clock, new_id, sort_behind
from sota.kit.db import Database, Id, Tx, Utc, code_text, long_text
from sota.kit.errors import Damaged, Refused, SotaError
from sota.kit.logging import get_logger

BATCH = 100
GATHER_S = 0.2
MAX_WAIT_S = 60.0
MEND_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to tell: ``kind`` chooses the sender, ``topic`` the order, ``payload`` is JSON."""

    id: UUID
    kind: str
    topic: str
    payload: Any
    attempts: int


Sender = Callable[[list[Entry]], Awaitable[None]]


def outbox_table(metadata: sa.MetaData, name: str = "outbox") -> sa.Table:
    """Declare the outbox of a program's database."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Id, primary_key=True),
        sa.Column("kind", code_text(40), nullable=False),
        sa.Column("topic", code_text(200), nullable=False),
        sa.Column("payload", long_text(), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("refused", code_text(500)),
        sa.Index(f"{name}_due", "refused", "due_at"),
        # What waits before an entry is looked up for each: thousands wait where the other program is away for long.
        sa.Index(f"{name}_of_topic", "topic", "refused", "due_at"),
    )


async def put(tx: Tx, table: sa.Table, kind: str, topic: str, payload: Any, clock: Clock) -> UUID:
    """Write one entry in the caller's transaction; gives its id."""
    entry_id = new_id()
    await tx.execute(
        table.insert().values(
            id=entry_id, kind=kind, topic=topic, payload=msgspec.json.encode(payload).decode(), due_at=clock.now()
        )
    )
    return entry_id


class Relay:
    """Sends what stands in the outbox. Call :meth:`wake` after a commit that wrote to it; a timer finds the rest.

    Who wakes it when it has been quiet is served at once; what comes soon after that is gathered, so that many small
    entries are sent together.
    """

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        senders: Mapping[str, Sender],
        clock: Clock,
        *,
        interval_s: float = 2.0,
    ) -> None:
        self._database, self._table, self._senders, self._clock = database, table, senders, clock
        self._interval_s = interval_s
        self._query, self._delete = _queries(table)
        self._wake = asyncio.Event()
        self._mends_at: float | None = None
        self._log = get_logger(outbox=table.name)

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            self._wake.clear()
            looked_at = time.monotonic()
            try:
                await self._follow_clock()
                while await self.relay_due():
                    pass
            except SotaError as error:
                self._log.warning("outbox_waits", reason=error.detail)
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(0.0, looked_at + GATHER_S - time.monotonic()))

    async def _follow_clock(self) -> None:
        """Make due what a later clock than ours has put off, and have our ids sort behind those that it made."""
        if self._mends_at is not None and time.monotonic() < self._mends_at:
            return
        now, columns = self._clock.now(), self._table.c
        too_late = sa.and_(columns.refused.is_(None), columns.due_at > now + timedelta(seconds=2 * MAX_WAIT_S))
        async with self._database.read() as connection:
            newest = (await connection.execute(sa.select(sa.func.max(columns.id)))).scalar()
            waits = (await connection.execute(sa.select(columns.id).where(too_late).limit(1))).first()
        if newest is not None:
            sort_behind(newest)
        if waits is not None:
            self._log.warning("outbox_follows_clock", hint="the clock was set back; what waited for it is sent now")
            await self._database.transact(
                lambda tx: tx.execute(self._table.update().where(too_late).values(due_at=now))
            )
        self._mends_at = time.monotonic() + MEND_EVERY_S

    async def relay_due(self) -> bool:
        """Send one batch of what is due; says whether there may be more."""
        entries = await self._due()
        sent = False
        for kind in dict.fromkeys(entry.kind for entry in entries):
            group = [entry for entry in entries if entry.kind == kind]
            try:
                await self._send(kind, group)
                await self._database.transact(lambda tx, group=group: self._remove(tx, group))  # type: ignore[misc]
                sent = True
            except SotaError as error:
                if error.status < 500 and error.status != 429 and len(group) == 1:
                    await self._database.transact(
                        lambda tx, group=group, error=error: self._set_aside(tx, group[0], error)  # type: ignore[misc]
                    )
                    sent = True
                elif error.status < 500 and error.status != 429:
                    sent = await self._send_singly(group) or sent
                else:
                    await self._database.transact(lambda tx, group=group: self._postpone(tx, group))  # type: ignore[misc]
        return sent and len(entries) == BATCH

    async def _send_singly(self, group: list[Entry]) -> bool:
        """One entry of the batch is refused: find it, so that the others still arrive."""
        for entry in group:
            try:
                await self._send(entry.kind, [entry])
                await self._database.transact(lambda tx, entry=entry: self._remove(tx, [entry]))  # type: ignore[misc]
            except SotaError as error:
                if error.status >= 500 or error.status == 429:
                    await self._database.transact(lambda tx, entry=entry: self._postpone(tx, [entry]))  # type: ignore[misc]
                    return False
                await self._database.transact(
                    lambda tx, entry=entry, error=error: self._set_aside(tx, entry, error)  # type: ignore[misc]
                )
        return True

    async def _due(self) -> list[Entry]:
        async with self._database.read() as connection:
            rows = (await connection.execute(self._query, {"now": self._clock.now()})).all()
        entries: list[Entry] = []
        for row in rows:
            try:
                payload = damage.read(self._table.name, row.id, partial(msgspec.json.decode, row.payload))
            except Damaged as error:
                await self._database.transact(partial(self._set_aside, entry=_damaged(row), error=error))
                continue
            entries.append(Entry(row.id, row.kind, row.topic, payload, row.attempts))
        return entries

    async def _send(self, kind: str, entries: list[Entry]) -> None:
        try:
            await self._senders[kind](entries)
        except msgspec.ValidationError as error:  # JSON, and yet none that the sender can read
            raise Refused("unreadable", f"It cannot be read: {error}.", status=422) from error

    async def _remove(self, tx: Tx, entries: list[Entry]) -> None:
        await tx.execute(self._delete, {"ids": [entry.id for entry in entries]})

    async def _postpone(self, tx: Tx, entries: list[Entry]) -> None:
        # One statement for all: whoever else wants to write waits for this transaction.
        later = (
            self._table.update()
            .where(self._table.c.id == sa.bindparam("of_id"))
            .values(attempts=sa.bindparam("tried"), due_at=sa.bindparam("again_at"))
        )
        now = self._clock.now()
        rows = []
        for entry in entries:
            wait_s = min(MAX_WAIT_S, 0.5 * 2 ** min(entry.attempts, 10)) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter, no secret
            again_at = now + timedelta(seconds=wait_s)
            rows.append({"of_id": entry.id, "tried": entry.attempts + 1, "again_at": again_at})
        await tx.execute(later, rows)

    async def _set_aside(self, tx: Tx, entry: Entry, error: SotaError) -> None:
        self._log.error("outbox_entry_refused", kind=entry.kind, entry=str(entry.id), reason=error.detail)
        await tx.execute(
            self._table.update()
            .where(self._table.c.id == entry.id)
            .values(refused=f"{error.code}: {error.detail}"[:500])
        )


def _damaged(row: Any) -> Entry:
    return Entry(row.id, row.kind, row.topic, None, row.attempts)


def _queries(table: sa.Table) -> tuple[sa.Select[Any], sa.Delete]:
    """Build once what is asked several times a second: what is due, and the removal of what was sent."""
    now: sa.BindParameter[Any] = sa.bindparam("now", type_=Utc)
    earlier = table.alias("earlier")
    blocked = sa.exists().where(
        earlier.c.topic == table.c.topic,
        earlier.c.id < table.c.id,
        earlier.c.refused.is_(None),
        earlier.c.due_at > now,
    )
    due = (
        sa.select(table)
        .where(table.c.refused.is_(None), table.c.due_at <= now, ~blocked)
        .order_by(table.c.id)
        .limit(BATCH)
    )
    return due, table.delete().where(table.c.id.in_(sa.bindparam("ids", expanding=True)))
