"""The same answer to the same request sent again: ``Idempotency-Key`` (the header of the IETF draft of that name).

A caller whose answer was lost sends its registration again under the same key and gets the first answer, not 'already
exists'. The answer is kept in the transaction that makes it true, for a day. Refusals are not kept: nothing was
written, and the same request is judged again. Core and the Resolver use it where they register things.

>>> answers = Idempotency(database, idempotency_table(METADATA), clock)   # doctest: +SKIP
>>> await answers.transact(call, lambda tx: register(tx, call.body))      # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.binding.call import AnyCall, Reply
from sota.boundaries.binding.query import MAX_KEY
from sota.kit.errors import Conflict
from sota.kit.runtime.clock import Clock
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Database, Tx, Utc, code_text, long_text

KEPT = timedelta(days=1)


class _Answer(msgspec.Struct):
    outcome: str
    body: object
    values: dict[str, str]


def idempotency_table(metadata: sa.MetaData, name: str = "idempotency") -> sa.Table:
    """Declare the table that keeps answers in a program's database."""
    return sa.Table(
        name,
        metadata,
        sa.Column("key", code_text(MAX_KEY), primary_key=True),
        sa.Column("request", code_text(64), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Index(f"{name}_by_age", "created_at"),
    )


class Idempotency:
    """Answers kept by key."""

    def __init__(self, database: Database, table: sa.Table, clock: Clock) -> None:
        self._database, self._table, self._clock = database, table, clock

    async def transact(self, call: AnyCall, work: Callable[[Tx], Awaitable[Reply]]) -> Reply:
        """Do ``work`` in one transaction, or return the answer kept under this request's key.

        Raises:
            Conflict: ``idempotency_key_reused``, 422: the key was used for another request.
        """
        key = call.key
        if key is None:
            return await self._database.transact(work)
        return await self._database.transact(lambda tx: self._once(tx, key, fingerprint(call), work))

    async def change(self, call: AnyCall, outcome: str, work: Callable[[Tx], Awaitable[object]]) -> Reply:
        """Do ``work`` as :meth:`transact` does, and answer with this outcome."""

        async def answered(tx: Tx) -> Reply:
            await work(tx)
            return Reply(outcome)

        return await self.transact(call, answered)

    async def find(self, call: AnyCall) -> Reply | None:
        """Return the answer kept under this request's key, for a handler with long work before its transaction."""
        if call.key is None:
            return None
        async with self._database.read() as tx:
            return await self._find(tx, call.key, fingerprint(call))

    async def forget_old(self) -> int:
        """Remove answers older than a day; return how many."""
        statement = self._table.delete().where(self._table.c.created_at < self._clock.now() - KEPT)

        async def work(tx: Tx) -> int:
            return (await tx.execute(statement)).rowcount

        return await self._database.transact(work)

    async def _once(self, tx: Tx, key: str, request: str, work: Callable[[Tx], Awaitable[Reply]]) -> Reply:
        # The key's row is written first: a twin of this request waits for it here, and then finds our answer.
        values = {"key": key, "request": request, "answer": "", "created_at": self._clock.now()}
        try:
            await tx.execute(self._table.insert().values(values))
        except IntegrityError:
            known = await self._find(tx, key, request)
            if known is None:
                raise
            return known
        reply = await work(tx)
        answer = msgspec.json.encode(_Answer(reply.outcome, reply.body, dict(reply.values))).decode()
        await tx.execute(self._table.update().where(self._table.c.key == key).values(answer=answer))
        return reply

    async def _find(self, tx: Tx, key: str, request: str) -> Reply | None:
        row = (await tx.execute(sa.select(self._table).where(self._table.c.key == key))).one_or_none()
        if row is None:
            return None
        if row.request != request:
            raise Conflict(
                "This Idempotency-Key was used for another request: take a new one.",
                code="idempotency_key_reused",
                status=422,
                title="Unprocessable Content",
            )
        answer = damage.read(self._table.name, key, lambda: msgspec.json.decode(row.answer, type=_Answer))
        return Reply(answer.outcome, answer.body, values=answer.values)


def fingerprint(call: AnyCall) -> str:
    """Return the hash of method, path and body, as 64 hexadecimal digits."""
    body = msgspec.json.encode(call.body, order="deterministic")
    return hashlib.sha256(b"\0".join((call.method.encode(), call.url_path.encode(), body))).hexdigest()
