"""Use cases of recorded resolutions: freeze one, return it again, compare two.

Rules kept here:

* no part of an answer is sent before all of it is frozen and committed. So whatever a caller received, every repetition
  under the same id returns the same, from any process and after any crash;
* a resolve that broke off leaves an incomplete record, which the repetition replaces;
* of two concurrent writers under one id the later wins; the earlier gets an error, repeats, and finds the record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from uuid import UUID

from sota.boundaries.values import PackageId
from sota.kit.errors import Failed, NotFound, Refused, Unavailable
from sota.kit.runtime.clock import Clock, new_id
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Database
from sota.resolver.dependencies.model import Package
from sota.resolver.index.workers import Workers
from sota.resolver.recorded import store
from sota.resolver.recorded.model import MAX_VEHICLES, Chunk, Content, Kind, Sheet, regroup
from sota.resolver.recorded.store import RecordRow
from sota.resolver.resolution.model import Decision
from sota.resolver.resolution.service import Resolution, Resolver

CHUNKS_AT_ONCE = 20
"""How many chunks are written in a transaction: rows of some 200,000 vehicles, a megabyte or two."""


@dataclass(frozen=True, slots=True)
class Record:
    """A complete record."""

    row: RecordRow
    content: Content


class Records:
    """Recorded resolutions."""

    def __init__(self, db: Database, resolver: Resolver, workers: Workers, clock: Clock) -> None:
        self._db, self._resolver, self._workers, self._clock = db, resolver, workers, clock

    async def resolve(self, id: UUID, wanted: PackageId) -> Record:
        """Return the record of this id; if there is none, decide and freeze it.

        Raises:
            Refused: ``resolution_exists``: the id belongs to another package; or as :meth:`Resolver.prepare` does.
            Failed: as :meth:`Resolver.prepare`, or more vehicles than can be recorded.
            Unavailable: another call under the same id took over.
        """
        package = Package(wanted.name, wanted.version)
        async with self._db.read() as tx:
            known = await store.find(tx, id)
        if known is not None and known.completed_at is not None:
            return _same(await self._open(known), package)
        resolution = await self._resolver.prepare(wanted)
        attempt = new_id()
        row = await self._db.transact(lambda tx: store.begin(tx, id, attempt, package, self._clock.now()))
        if row.attempt != attempt:  # it was completed meanwhile, or belongs to another package
            return _same(await self._open(row), package)
        sheet = Sheet()
        async for decisions in self._resolver.decide(resolution):
            await self._workers.run(sheet.add, decisions)
            if sheet.total > MAX_VEHICLES:
                raise Failed(f"More than {MAX_VEHICLES} vehicles pass the filters of {package.text}: narrow them.")
        return await self._freeze(id, attempt, resolution, sheet)

    async def find(self, id: UUID) -> RecordRow:
        """Look a record up, complete or not.

        Raises:
            NotFound: no record has this id.
        """
        async with self._db.read() as tx:
            row = await store.find(tx, id)
        if row is None:
            raise NotFound(f"There is no resolution {id}.")
        return row

    async def look(self, id: UUID) -> Record:
        """Look a record up; an incomplete one has no content.

        Raises:
            NotFound: no record has this id.
        """
        return await self._open(await self.find(id))

    async def open(self, id: UUID) -> Record:
        """Look a complete record up.

        Raises:
            NotFound: no record has this id, or it is incomplete.
        """
        row = await self.find(id)
        if row.completed_at is None:
            raise NotFound(f"The resolution {id} was begun and is not complete.")
        return await self._open(row)

    async def decisions(self, record: Record) -> AsyncIterator[list[Decision]]:
        """Return the chosen vehicles again, as :meth:`Resolver.decide` does; sorted by VIN, chunk by chunk."""
        after: str | None = None
        while True:
            async with self._db.read() as tx:
                chunks = await store.read_chunks(tx, record.row, Kind.CHOSEN, after, 1)
            if not chunks:
                return
            yield await self._workers.run(_regroup, chunks[0], record.content)
            after = chunks[0].last_vin

    async def list(self, record: Record, kind: Kind, after: str | None, count: int) -> list[tuple[str, int]]:
        """Return the next vehicles of a list with the number of each one's verdict."""
        found: list[tuple[str, int]] = []
        async with self._db.read() as tx:
            while len(found) < count:
                chunks = await store.read_chunks(tx, record.row, kind, after, 1)
                if not chunks:
                    break
                found += await self._workers.run(_entries, chunks[0], after)
                after = chunks[0].last_vin
        return found[:count]

    async def _freeze(self, id: UUID, attempt: UUID, resolution: Resolution, sheet: Sheet) -> Record:
        for kind in Kind:
            chunks = sheet.chunks(kind)
            while some := await self._workers.run(_take, chunks):
                await self._db.transact(partial(store.write_chunks, id=id, attempt=attempt, chunks=some))
        content = Content(
            [(one.name, one.expression) for one in resolution.stored],
            [(one, [*needs]) for one, needs in resolution.graph.edges_of_interest(resolution.package)],
            sheet.sum_up(),
        )
        packed = await self._workers.run(content.pack)
        now = self._clock.now()
        chosen, left_out = sheet.total_of(Kind.CHOSEN), sheet.total_of(Kind.LEFT_OUT)
        done = partial(store.complete, now=now, chosen=chosen, left_out=left_out, content=packed)
        await self._db.transact(lambda tx: done(tx, id, attempt))
        row = await self.find(id)
        if row.completed_at is None:
            raise Unavailable("The same resolution is being made by another call: ask again.")
        while await self._db.transact(lambda tx: store.drop_other_chunks(tx, id, row.attempt, 100)):
            pass
        return Record(row, content) if row.attempt == attempt else await self._open(row)

    async def _open(self, row: RecordRow) -> Record:
        if row.completed_at is None:
            return Record(row, Content([], [], []))
        return Record(row, await self._workers.run(_unpack, row))


def _same(record: Record, package: Package) -> Record:
    if record.row.package != package:
        raise Refused(
            "resolution_exists", f"The resolution {record.row.id} is of {record.row.package.text}: use a new id."
        )
    if record.row.completed_at is None:
        raise Unavailable("The same resolution is being made by another call: ask again.")
    return record


def _unpack(row: RecordRow) -> Content:
    return damage.read("resolution", row.id, lambda: Content.unpack(row.content))


def _take(chunks: Iterator[Chunk]) -> list[Chunk]:
    return list(islice(chunks, CHUNKS_AT_ONCE))


def read_chunk(chunk: Chunk) -> tuple[list[str], list[int]]:
    """Read the vehicles of a chunk.

    Raises:
        Damaged: it cannot be read.
    """
    return damage.read("resolution_chunk", chunk.name, chunk.read)


def _regroup(chunk: Chunk, content: Content) -> list[Decision]:
    return regroup(*read_chunk(chunk), content.verdicts)


def _entries(chunk: Chunk, after: str | None) -> list[tuple[str, int]]:
    return [(vin, number) for vin, number in zip(*read_chunk(chunk), strict=True) if after is None or vin > after]
