"""Queues requests: a small one in one transaction, a long one chunk by chunk, either all of it or nothing.

Rules kept here:

* what fits into one chunk is written, with its Idempotency-Key, in one transaction;
* a longer request is *prepared*: its rows are written under a row of ``preparation``, and while that stands nobody acts
  on its updates or lists them. One small transaction takes the row away, and the request is real, all of it at once;
* whoever prepares holds a lease. A refusal on the way, an interruption, or the death of this Core leaves a preparation
  that is taken back, by itself or by whichever Core finds the lease over; what was written is deleted chunk by chunk;
* a chunk is small enough that whoever else wants to write waits some tens of milliseconds at most, and once only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.binding.call import Reply
from sota.core.following.service import Following
from sota.core.packages.model import Package
from sota.core.requests import preparation_store, queue_store, service
from sota.core.requests.model import InstallRequest, Order, PackageKey
from sota.core.requests.pace import Pace
from sota.core.requests.preparation_store import Preparation
from sota.core.requests.queue_store import Slice, Staged
from sota.core.requests.set_store import SetKey, Sets
from sota.core.requests.slices import read_batches
from sota.kit.errors import SotaError, Unavailable
from sota.kit.runtime.clock import Clock, new_id
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.outbox import Relay

# Transactions at the same time; SQLite has one writer.
WRITERS_MARIADB = 2
LOOK_EVERY_S = 10.0
# How long others may write after each transaction of ours.
GIVEN_S = 0.03
VIN = 17
Transact = Callable[[Callable[[Tx], Awaitable[Reply]]], Awaitable[Reply]]
"""Does work in one transaction, once for an Idempotency-Key (``boundaries/binding/idempotency.py``)."""


Answer = Callable[[UUID, int], Reply]
"""Makes the answer of a request's id and the number of vehicles that it was queued for."""


class Dispatching(Protocol):
    """Who brings queued updates to their vehicles."""

    def wake(self, vins: Iterable[str]) -> None:
        """Look at these vehicles now."""
        ...


class QueueingSettings(Protocol):
    """What queueing reads of Core's settings."""

    instance: str
    lease_s: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks to be queued under one id; ``missing`` is the code for a package that is not known."""

    kind: str
    name: str | None
    orders: Sequence[Order]
    missing: str
    answer: Answer


@dataclass(slots=True)
class _Written:
    """What is written of a request so far: by part who was left out, what the node must hear, whom to wake."""

    staged: list[Staged] = field(default_factory=list)
    left_out: dict[int, Counter[str]] = field(default_factory=dict)
    vins: list[str] = field(default_factory=list)

    def add(self, batch: Sequence[Staged]) -> None:
        for one in batch:
            self.vins.append("".join(one.slice.vins))
            # The VINs themselves are not needed any more; a million of them are a lot of memory.
            self.staged.append(
                Staged(Slice(one.slice.position, one.slice.packages, ()), one.first, one.last, one.queued, one.written)
            )
            self.left_out.setdefault(one.slice.position, Counter()).update(one.left_out)

    @property
    def chosen(self) -> int:
        """How many updates were written, failed ones included."""
        return sum(one.written for one in self.staged)


class Queueing:
    """Writes requests, and takes back what was left half-written."""

    def __init__(
        self,
        db: Database,
        resolver: FactsClient,
        relay: Relay,
        dispatcher: Dispatching,
        clock: Clock,
        *,
        settings: QueueingSettings,
        following: Following,
    ) -> None:
        self.db, self.resolver, self.relay, self.dispatcher, self.clock = db, resolver, relay, dispatcher, clock
        self._following = following
        self._instance = settings.instance
        self._lease = timedelta(seconds=settings.lease_s)
        self.pace = Pace.of(is_sqlite=db.is_sqlite)
        self._writers = 1 if db.is_sqlite else WRITERS_MARIADB
        self._wake = asyncio.Event()
        self._given_up: set[Preparation] = set()
        self._under_way: set[Preparation] = set()
        self._log = get_logger(program="core")

    async def queue(self, wanted: Wanted, transact: Transact) -> Reply:
        """Resolve and write a request.

        Raises:
            Invalid: an interval is over already.
            Refused: a package is missing or blacklisted, or whatever the Resolver refuses.
            Unavailable: the Resolver or the database is away, the Resolver does not know yet what Core acknowledged,
                or another Core took this request back.
        """
        now = self.clock.now()
        service.require_open(wanted.orders, now)
        async with self.db.read() as tx:
            await service.require_packages(tx, wanted.orders, wanted.missing)
        await self._following.wait()
        request_id = new_id()
        parts = [
            InstallRequest(request_id, position, wanted.kind, wanted.name, order, 0, now, new_id())
            for position, order in enumerate(wanted.orders)
        ]
        resolutions = [part.resolution_id for part in parts if part.resolution_id is not None]
        batches = read_batches(
            self.resolver, wanted.orders, resolutions, missing=wanted.missing, size=lambda: self.pace.size
        )
        async with contextlib.aclosing(batches):
            first: list[Slice] = await anext(batches, [])
            second = await anext(batches, None)
            if second is None:
                reply, written = await self._at_once(wanted, parts, first, transact)
            else:
                begun = [first, second]
                del first, second
                reply, written = await self._prepared(wanted, parts, _chain(begun, batches), transact)
        if written is not None:
            await self._announce(parts, written)
        return reply

    def look(self) -> None:
        """Look for what was left half-written now."""
        self._wake.set()

    async def run(self) -> None:
        """Take back what was left half-written, until cancelled: at first what this Core left when it died."""
        begun_by: str | None = f"{self._instance}/"
        while True:
            self._wake.clear()
            try:
                await self._take_back(begun_by)
                begun_by = None
            except (SotaError, SQLAlchemyError) as error:
                self._log.warning("preparations_wait", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()

    async def _at_once(
        self, wanted: Wanted, parts: Sequence[InstallRequest], batch: Sequence[Slice], transact: Transact
    ) -> tuple[Reply, _Written | None]:
        written = _Written()

        async def work(tx: Tx) -> Reply:
            nonlocal written
            written = _Written()
            # Once more, for it may have been deleted while the Resolver was asked.
            await service.require_packages(tx, wanted.orders, wanted.missing, kept=True)
            for part in parts:
                await queue_store.insert_request(tx, part)
            sets = Sets()
            numbered, packages = await service.write_sets(tx, parts, service.new_sets(batch, sets), sets)
            sets.add(numbered)
            written.add(await _stage(tx, parts, batch, packages, sets))
            await self._finish(tx, parts, written)
            return wanted.answer(parts[0].id, written.chosen)

        reply = await transact(work)
        return reply, written if _is_of(reply, parts[0].id) else None

    async def _prepared(
        self, wanted: Wanted, parts: Sequence[InstallRequest], batches: AsyncIterator[list[Slice]], transact: Transact
    ) -> tuple[Reply, _Written | None]:
        one = Preparation(parts[0].id, f"{self._instance}/{new_id()}")
        is_real = False

        async def begin(tx: Tx) -> None:
            for part in parts:
                await queue_store.insert_request(tx, part)
            await preparation_store.begin(tx, one, parts[0].created_at, self._until())

        async def end(tx: Tx) -> Reply:
            await service.require_packages(tx, wanted.orders, wanted.missing, kept=True)
            known = await service.find_wanted(tx, packages)
            for part in parts:
                service.require_allowed(part.order, list(packages), known)
            if not await preparation_store.end(tx, one):
                raise _taken()
            await self._finish(tx, parts, written)
            return wanted.answer(one.request_id, written.chosen)

        self._under_way.add(one)
        try:
            await self.db.transact(begin)
            written, packages = await self._write_all(one, parts, batches)
            reply = await transact(end)
            is_real = _is_of(reply, one.request_id)
        finally:
            self._under_way.discard(one)
            if not is_real:  # refused, interrupted, or a twin of this request was quicker
                self._given_up.add(one)
                self.look()
        return reply, written if is_real else None

    async def _write_all(
        self, one: Preparation, parts: Sequence[InstallRequest], batches: AsyncIterator[list[Slice]]
    ) -> tuple[_Written, dict[PackageKey, Package]]:
        """Write chunks while the next ones arrive."""
        written, packages, sets = _Written(), dict[PackageKey, Package](), Sets()
        waiting: asyncio.Queue[list[Slice] | None] = asyncio.Queue(maxsize=self._writers)
        renew_at = time.monotonic() + self._lease.total_seconds() / 4

        async def read() -> None:
            async for batch in batches:
                new = service.new_sets(batch, sets)
                if new:
                    numbered, known = await self.db.transact(
                        partial(_write_sets, one=one, parts=parts, new=new, sets=sets)
                    )
                    packages.update(known)
                    sets.add(numbered)
                await waiting.put(batch)
            for _ in range(self._writers):
                await waiting.put(None)

        async def write() -> None:
            nonlocal renew_at
            while (batch := await waiting.get()) is not None:
                renew_at = await self._renew(one, renew_at)
                chunk = partial(_write_chunk, one=one, parts=parts, batch=batch, packages=packages, sets=sets)
                began, staged = await self.db.transact(chunk)
                self.pace.note(sum(len(part.vins) for part in batch), time.perf_counter() - began)
                written.add(staged)
                await self.db.give_way(GIVEN_S)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(read())
                for _ in range(self._writers):
                    group.create_task(write())
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return written, packages

    async def _renew(self, one: Preparation, due: float) -> float:
        now = time.monotonic()
        if now < due:
            return due
        if not await self.db.transact(lambda tx: preparation_store.renew(tx, one, self._until())):
            raise _taken()
        return now + self._lease.total_seconds() / 4

    async def _finish(self, tx: Tx, parts: Sequence[InstallRequest], written: _Written) -> None:
        for position, reasons in written.left_out.items():
            if reasons:
                await queue_store.write_left_out(tx, parts[0].id, position, reasons)
        await service.leave_with_node(tx, parts[0].id, written.staged, self.clock)

    async def _announce(self, parts: Sequence[InstallRequest], written: _Written) -> None:
        for position, part in enumerate(parts):
            self._log.info(
                "update_queued",
                install_request=str(part.id),
                package=part.order.text,
                vehicles=sum(one.queued for one in written.staged if one.slice.position == position),
                left_out=dict(written.left_out.get(position, {})),
            )
        self.relay.wake()
        for vins in written.vins:
            self.dispatcher.wake(vins[at : at + VIN] for at in range(0, len(vins), VIN))
            await asyncio.sleep(0)  # others' turn

    async def _take_back(self, begun_by: str | None) -> None:
        given_up, self._given_up = self._given_up, set()
        try:
            async with self.db.read() as tx:
                found = await preparation_store.list_abandoned(tx, self.clock.now(), begun_by=begun_by)
            # Ours may look as if their lease were over because the clock was set forward.
            for one in {*given_up, *(one for one in found if one not in self._under_way)}:
                await self._remove(one)
                given_up.discard(one)
        finally:
            self._given_up |= given_up

    async def _remove(self, left: Preparation) -> None:
        one = Preparation(left.request_id, f"{self._instance}/{new_id()}")
        if not await self.db.transact(lambda tx: preparation_store.take_over(tx, left, one.owner, self._until())):
            return
        while await self.db.transact(lambda tx: preparation_store.remove_some(tx, one)):
            pass
        self._log.warning("half_written_request_removed", install_request=str(one.request_id))

    def _until(self) -> datetime:
        return self.clock.now() + self._lease


async def _write_sets(
    tx: Tx, *, one: Preparation, parts: Sequence[InstallRequest], new: Sequence[SetKey], sets: Sets
) -> tuple[dict[SetKey, int | None], dict[PackageKey, Package]]:
    if not await preparation_store.hold(tx, one):
        raise _taken()
    return await service.write_sets(tx, parts, new, sets)


async def _write_chunk(
    tx: Tx,
    *,
    one: Preparation,
    parts: Sequence[InstallRequest],
    batch: Sequence[Slice],
    packages: Mapping[PackageKey, Package],
    sets: Sets,
) -> tuple[float, list[Staged]]:
    """Write a chunk; says when its turn had come, for from then on others waited."""
    began = time.perf_counter()
    if not await preparation_store.hold(tx, one):
        raise _taken()
    return began, await _stage(tx, parts, batch, packages, sets)


async def _stage(
    tx: Tx,
    parts: Sequence[InstallRequest],
    batch: Sequence[Slice],
    packages: Mapping[PackageKey, Package],
    sets: Sets,
) -> list[Staged]:
    return [await service.stage(tx, parts[one.position], one, packages, sets) for one in batch]


async def _chain(begun: list[list[Slice]], rest: AsyncIterator[list[Slice]]) -> AsyncIterator[list[Slice]]:
    while begun:
        yield begun.pop(0)
    async for batch in rest:
        yield batch


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_of(reply: Reply, request_id: UUID) -> bool:
    """Return whether an answer is of this request, and not of an earlier one under the same Idempotency-Key."""
    return isinstance(reply.body, dict) and reply.body["install_request_id"] == str(request_id)


def _taken() -> Unavailable:
    return Unavailable("Queueing took too long, and was taken back: nothing is queued. Try again.")
