"""The outbox: what another program must be told is written in the transaction that makes it true, and relayed until
it is told.

At least once, in order for each ``topic`` (a VIN, an intent): a later entry of a topic waits for the one before.
A clock that is set back neither stops what waits nor turns its order round.
Receivers are idempotent on the entry's id. Nothing is lost by a kill at any point; an entry that its receiver refuses
for good (a ``SotaError`` below 500 that is no overload) is set aside with the reason, so that it cannot block what
comes after; so is one that cannot be read.

Each kind of entry is relayed by itself, so that a receiver which is slow or away holds up no other. A caller that must
not read what its receiver does not know yet waits for it: :meth:`Relay.wait_until_told`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from sota.kit.errors import Damaged, Refused, SotaError
from sota.kit.runtime.clock import Clock, new_id, sort_behind
from sota.kit.runtime.logging import get_logger
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Database, Id, Tx, Utc, code_text, long_text

BATCH = 100
PAGE = 500
# What one batch may hold of memory, except that a single entry may be larger.
BATCH_BYTES = 4 << 20
GATHER_S = 0.2
MAX_WAIT_S = 60.0
MEND_EVERY_S = 60.0
# How often a caller that waits looks, where another process of the program may have relayed.
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to tell: ``kind`` chooses the sender, ``topic`` the order, ``payload`` is JSON."""

    id: UUID
    kind: str
    topic: str
    payload: Any
    attempts: int


Sender = Callable[[list[Entry]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How entries of one kind are sent: so many together, and after a failure again within ``max_wait_s``."""

    sender: Sender
    batch: int = BATCH
    max_wait_s: float = MAX_WAIT_S


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
        # Entries are sent in the order of their ids: with a long queue, sorting it anew for each batch is slow.
        sa.Index(f"{name}_by_kind", "kind", "refused", "id"),
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

    After a quiet time a call of :meth:`wake` is served at once; what comes soon after that is gathered, so that many
    small entries are sent together.
    """

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        senders: Mapping[str, Sender | Delivery],
        clock: Clock,
        *,
        interval_s: float = 2.0,
    ) -> None:
        self._kinds = {
            kind: _Kind(
                kind,
                database,
                table,
                one if isinstance(one, Delivery) else Delivery(one),
                clock,
                interval_s=interval_s,
            )
            for kind, one in senders.items()
        }

    def wake(self) -> None:
        """Look at once."""
        for kind in self._kinds.values():
            kind.wake.set()

    async def run(self) -> None:
        """Relay until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds.values():
                group.create_task(kind.run())

    async def relay_due(self) -> bool:
        """Send one batch of each kind that is due; return whether there may be more."""
        return any([await kind.relay_due() for kind in self._kinds.values()])

    async def wait_until_told(self, kind: str, most_s: float) -> bool:
        """Wait until all entries of a kind are sent that stand in the outbox now; return False when time is up.

        What is written meanwhile is not waited for, and neither is what the receiver refused for good.
        """
        return await self._kinds[kind].wait_until_told(most_s)


class _Kind:
    """The entries of one kind."""

    def __init__(
        self,
        kind: str,
        database: Database,
        table: sa.Table,
        delivery: Delivery,
        clock: Clock,
        *,
        interval_s: float,
    ) -> None:
        self._kind, self._database, self._table, self._delivery, self._clock = kind, database, table, delivery, clock
        self._interval_s = interval_s
        self._queries = _queries(table)
        self.wake = asyncio.Event()
        self._told = asyncio.Condition()
        self._mends_at: float | None = None
        self._log = get_logger(outbox=table.name, kind=kind)

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            self.wake.clear()
            looked_at = time.monotonic()
            try:
                await self._follow_clock()
                while await self.relay_due():
                    pass
            except SotaError as error:
                self._log.warning("outbox_waits", reason=error.detail)
            try:
                async with asyncio.timeout(self._interval_s):
                    await self.wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(0.0, looked_at + GATHER_S - time.monotonic()))

    async def _follow_clock(self) -> None:
        """Make due what a later clock than ours has put off, and have our ids sort behind those that it made."""
        if self._mends_at is not None and time.monotonic() < self._mends_at:
            return
        now, columns = self._clock.now(), self._table.c
        latest = now + timedelta(seconds=2 * MAX_WAIT_S)
        too_late = sa.and_(columns.kind == self._kind, columns.refused.is_(None), columns.due_at > latest)
        async with self._database.read() as tx:
            newest = (await tx.execute(self._queries.last, {"kind": self._kind})).scalar_one_or_none()
            waits = (await tx.execute(sa.select(columns.id).where(too_late).limit(1))).first()
        if newest is not None:
            sort_behind(newest)
        if waits is not None:
            self._log.warning("outbox_follows_clock", hint="the clock was set back; what waited for it is sent now")
            await self._database.transact(
                lambda tx: tx.execute(self._table.update().where(too_late).values(due_at=now))
            )
        self._mends_at = time.monotonic() + MEND_EVERY_S

    async def relay_due(self) -> bool:
        """Send one batch of what is due; return whether there may be more."""
        entries, more = await self._due()
        if not entries:
            return False
        try:
            await self._send(entries)
        except SotaError as error:
            if not _is_refusal(error):
                await self._database.transact(lambda tx: self._postpone(tx, entries))
                return False
            if len(entries) > 1:
                return await self._send_singly(entries) and more
            reason = error
            await self._database.transact(lambda tx: self._set_aside(tx, entries[0], reason))
        else:
            await self._database.transact(lambda tx: self._remove(tx, entries))
        await self._notify()
        return more

    async def wait_until_told(self, most_s: float) -> bool:
        """Wait: see :meth:`Relay.wait_until_told`."""
        async with self._database.read() as tx:
            last: UUID | None = (await tx.execute(self._queries.last, {"kind": self._kind})).scalar_one_or_none()
        if last is None:
            return True
        self.wake.set()
        try:
            async with asyncio.timeout(most_s):
                while await self._waits(last):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S), self._told:
                            await self._told.wait()
        except TimeoutError:
            return False
        return True

    async def _waits(self, last: UUID) -> bool:
        async with self._database.read() as tx:
            return (await tx.execute(self._queries.waits, {"kind": self._kind, "last": last})).first() is not None

    async def _notify(self) -> None:
        async with self._told:
            self._told.notify_all()

    async def _send_singly(self, group: list[Entry]) -> bool:
        """One entry of the batch is refused: find it, so that the others still arrive."""
        for entry in group:
            try:
                await self._send([entry])
                await self._database.transact(lambda tx, entry=entry: self._remove(tx, [entry]))  # type: ignore[misc]
            except SotaError as error:
                if not _is_refusal(error):
                    await self._database.transact(lambda tx, entry=entry: self._postpone(tx, [entry]))  # type: ignore[misc]
                    return False
                await self._database.transact(
                    lambda tx, entry=entry, error=error: self._set_aside(tx, entry, error)  # type: ignore[misc]
                )
            await self._notify()
        return True

    async def _due(self) -> tuple[list[Entry], bool]:
        """Read the next batch; the second value is whether there may be more."""
        entries: list[Entry] = []
        size, after = 0, UUID(int=0)
        while True:
            count = min(PAGE, self._delivery.batch - len(entries))
            given = {"kind": self._kind, "now": self._clock.now(), "after": after, "count": count}
            async with self._database.read() as tx:
                rows = (await tx.execute(self._queries.due, given)).all()
            for row in rows:
                size += len(row.payload)
                if entries and size > BATCH_BYTES:
                    return entries, True
                try:
                    payload = damage.read(self._table.name, row.id, partial(msgspec.json.decode, row.payload))
                except Damaged as error:
                    await self._database.transact(partial(self._set_aside, entry=_damaged(row), error=error))
                    continue
                entries.append(Entry(row.id, row.kind, row.topic, payload, row.attempts))
            if len(rows) < count:
                return entries, False
            if len(entries) == self._delivery.batch:
                return entries, True
            after = rows[-1].id

    async def _send(self, entries: list[Entry]) -> None:
        try:
            await self._delivery.sender(entries)
        except msgspec.ValidationError as error:  # JSON, and yet none that the sender can read
            raise Refused("unreadable", f"It cannot be read: {error}.", status=422) from error

    async def _remove(self, tx: Tx, entries: list[Entry]) -> None:
        await tx.execute(self._queries.remove, {"ids": [entry.id for entry in entries]})

    async def _postpone(self, tx: Tx, entries: list[Entry]) -> None:
        # One statement for all: others that want to write wait for this transaction.
        later = (
            self._table.update()
            .where(self._table.c.id == sa.bindparam("of_id"))
            .values(attempts=sa.bindparam("tried"), due_at=sa.bindparam("again_at"))
        )
        now, most_s = self._clock.now(), self._delivery.max_wait_s
        rows = []
        for entry in entries:
            wait_s = min(most_s, 0.5 * 2 ** min(entry.attempts, 10)) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter, no secret
            again_at = now + timedelta(seconds=wait_s)
            rows.append({"of_id": entry.id, "tried": entry.attempts + 1, "again_at": again_at})
        await tx.execute(later, rows)

    async def _set_aside(self, tx: Tx, entry: Entry, error: SotaError) -> None:
        self._log.error("outbox_entry_refused", entry=str(entry.id), reason=error.detail)
        await tx.execute(
            self._table.update()
            .where(self._table.c.id == entry.id)
            .values(refused=f"{error.code}: {error.detail}"[:500])
        )


def _damaged(row: Any) -> Entry:
    return Entry(row.id, row.kind, row.topic, None, row.attempts)


def _is_refusal(error: SotaError) -> bool:
    """Return whether the receiver will never take it."""
    return error.status < 500 and error.status != 429


class _Queries(NamedTuple):
    """What is asked several times a second, built once: building it takes longer than asking."""

    due: sa.Select[Any]
    last: sa.Select[Any]
    waits: sa.Select[Any]
    remove: sa.Delete


def _queries(table: sa.Table) -> _Queries:
    now: sa.BindParameter[Any] = sa.bindparam("now", type_=Utc)
    earlier = table.alias("earlier")
    blocked = sa.exists().where(
        earlier.c.topic == table.c.topic,
        earlier.c.id < table.c.id,
        earlier.c.refused.is_(None),
        earlier.c.due_at > now,
    )
    is_waiting = sa.and_(table.c.kind == sa.bindparam("kind"), table.c.refused.is_(None))
    due = (
        sa.select(table)
        .where(is_waiting, table.c.id > sa.bindparam("after"), table.c.due_at <= now, ~blocked)
        .order_by(table.c.id)
        .limit(sa.bindparam("count"))
    )
    last = sa.select(table.c.id).where(is_waiting).order_by(table.c.id.desc()).limit(1)
    waits = sa.select(table.c.id).where(is_waiting, table.c.id <= sa.bindparam("last")).limit(1)
    return _Queries(due, last, waits, table.delete().where(table.c.id.in_(sa.bindparam("ids", expanding=True))))
