"""The outbox: a message to another program is written in the transaction that makes it true, and relayed until it
arrives.

Delivery is at least once, and in order for each ``topic`` (a VIN, an intent): an entry waits for the earlier ones of
its topic. A clock that is set back neither blocks waiting entries nor reorders them.
Receivers are idempotent on the entry's id, and a kill at any point loses nothing. An entry that its receiver refuses
for good (a ``SotaError`` below 500 that is no overload) is set aside with the reason, so that it does not block the
entries behind it; so is one that cannot be decoded.

Each kind of entry is relayed separately, so that a slow receiver delays no other. A caller that depends on what the
receiver knows waits for it: :meth:`Relay.wait_until_sent`.
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
# Limit of a batch in memory, unless a single entry is larger.
BATCH_BYTES = 4 << 20
GATHER_S = 0.2
MAX_WAIT_S = 60.0
MEND_EVERY_S = 60.0
# How often a waiting caller polls, in case another process of the program relays.
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One message: ``kind`` selects the sender, ``topic`` the order, ``payload`` is JSON."""

    id: UUID
    kind: str
    topic: str
    payload: object
    attempts: int


Sender = Callable[[list[OutboxEntry]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How entries of one kind are sent: batch size, and the longest pause after a failure."""

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
        # Entries are sent in the order of their ids: sorting a long queue for each batch would be slow.
        sa.Index(f"{name}_by_kind", "kind", "refused", "id"),
        # Each entry's predecessors are looked up: thousands wait when the other program is down for long.
        sa.Index(f"{name}_of_topic", "topic", "refused", "due_at"),
    )


async def put(tx: Tx, table: sa.Table, kind: str, topic: str, payload: object, clock: Clock) -> UUID:
    """Write one entry in the caller's transaction; return its id."""
    entry_id = new_id()
    await tx.execute(
        table.insert().values(
            id=entry_id, kind=kind, topic=topic, payload=msgspec.json.encode(payload).decode(), due_at=clock.now()
        )
    )
    return entry_id


class Relay:
    """Sends the outbox. Call :meth:`wake` after a commit that wrote to it; a timer finds the rest.

    After a quiet time :meth:`wake` takes effect immediately; entries that follow soon are batched.
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
        self.database, self.table, self.clock, self.interval_s = database, table, clock, interval_s
        self._kinds = {kind: _Kind(self, kind, sender) for kind, sender in senders.items()}

    def wake(self) -> None:
        """Look for entries now."""
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

    async def wait_until_sent(self, kind: str, most_s: float) -> bool:
        """Wait until all entries of a kind that are in the outbox now are sent; return False on time-out.

        Entries written meanwhile are not waited for, nor are those that the receiver refused for good.
        """
        return await self._kinds[kind].wait_until_sent(most_s)


class _Kind:
    """The entries of one kind."""

    def __init__(self, relay: Relay, kind: str, sender: Sender | Delivery) -> None:
        self._kind, self._database, self._table, self._clock = kind, relay.database, relay.table, relay.clock
        self._delivery = sender if isinstance(sender, Delivery) else Delivery(sender)
        self._interval_s = relay.interval_s
        self._queries = _Queries(relay.table)
        self.wake = asyncio.Event()
        self._sent = asyncio.Condition()
        self._mends_at: float | None = None
        self._log = get_logger(outbox=relay.table.name, kind=kind)

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
        """Make entries due that a later clock postponed, and make new ids sort behind existing ones."""
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
        """Send one batch of due entries; return whether there may be more."""
        entries, more = await self._due()
        return bool(entries) and await self._deliver(entries) and more

    async def _deliver(self, entries: list[OutboxEntry]) -> bool:
        """Send entries together, or one by one if they are refused, so that the good ones arrive; False: try later."""
        try:
            await self._send(entries)
            ended = partial(self._remove, entries=entries)
        except SotaError as error:
            if not _is_refusal(error):
                await self._database.transact(partial(self._postpone, entries=entries))
                return False
            if len(entries) > 1:
                for entry in entries:
                    if not await self._deliver([entry]):
                        return False
                return True
            ended = partial(self._set_aside, entry_id=entries[0].id, error=error)
        await self._database.transact(ended)
        async with self._sent:
            self._sent.notify_all()
        return True

    async def wait_until_sent(self, most_s: float) -> bool:
        """See :meth:`Relay.wait_until_sent`."""
        async with self._database.read() as tx:
            last: UUID | None = (await tx.execute(self._queries.last, {"kind": self._kind})).scalar_one_or_none()
        if last is None:
            return True
        self.wake.set()
        try:
            async with asyncio.timeout(most_s):
                while await self._waits(last):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S), self._sent:
                            await self._sent.wait()
        except TimeoutError:
            return False
        return True

    async def _waits(self, last: UUID) -> bool:
        async with self._database.read() as tx:
            return (await tx.execute(self._queries.waits, {"kind": self._kind, "last": last})).first() is not None

    async def _due(self) -> tuple[list[OutboxEntry], bool]:
        """Read the next batch; the second value says whether there may be more."""
        entries: list[OutboxEntry] = []
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
                    await self._database.transact(partial(self._set_aside, entry_id=row.id, error=error))
                    continue
                entries.append(OutboxEntry(row.id, row.kind, row.topic, payload, row.attempts))
            if len(rows) < count:
                return entries, False
            if len(entries) == self._delivery.batch:
                return entries, True
            after = rows[-1].id

    async def _send(self, entries: list[OutboxEntry]) -> None:
        try:
            await self._delivery.sender(entries)
        except msgspec.ValidationError as error:  # JSON, but not what the sender expects
            raise Refused("unreadable", f"It cannot be read: {error}.", status=422) from error

    async def _remove(self, tx: Tx, entries: list[OutboxEntry]) -> None:
        await tx.execute(self._queries.remove, {"ids": [entry.id for entry in entries]})

    async def _postpone(self, tx: Tx, entries: list[OutboxEntry]) -> None:
        # One statement for all: other writers wait for this transaction.
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

    async def _set_aside(self, tx: Tx, entry_id: UUID, error: SotaError) -> None:
        self._log.error("outbox_entry_refused", entry=str(entry_id), reason=error.detail)
        await tx.execute(
            self._table.update()
            .where(self._table.c.id == entry_id)
            .values(refused=f"{error.code}: {error.detail}"[:500])
        )


def _is_refusal(error: SotaError) -> bool:
    """Return whether the receiver will never accept the entry."""
    return error.status < 500 and error.status != 429


class _Queries:
    """Queries that run several times a second: building them takes longer than running them."""

    def __init__(self, table: sa.Table) -> None:
        now: sa.BindParameter[object] = sa.bindparam("now", type_=Utc)
        earlier = table.alias("earlier")
        blocked = sa.exists().where(
            earlier.c.topic == table.c.topic,
            earlier.c.id < table.c.id,
            earlier.c.refused.is_(None),
            earlier.c.due_at > now,
        )
        is_waiting = sa.and_(table.c.kind == sa.bindparam("kind"), table.c.refused.is_(None))
        self.due = (
            sa.select(table)
            .where(is_waiting, table.c.id > sa.bindparam("after"), table.c.due_at <= now, ~blocked)
            .order_by(table.c.id)
            .limit(sa.bindparam("count"))
        )
        self.last = sa.select(table.c.id).where(is_waiting).order_by(table.c.id.desc()).limit(1)
        self.waits = sa.select(table.c.id).where(is_waiting, table.c.id <= sa.bindparam("last")).limit(1)
        self.remove = table.delete().where(table.c.id.in_(sa.bindparam("ids", expanding=True)))
