"""Keeps the newest state of the fleet: loads it, follows the log of changes, and saves it in the background.

A query waits until everything is applied that was committed before it: this reads the log's head, and mostly nothing
more. Queries at the same time share one read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from sota.kit.errors import Damaged, SotaError, Unavailable
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.program import Background
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Database, Tx
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import decode
from sota.resolver.changes.store import Entry
from sota.resolver.index import loading, store
from sota.resolver.index.fleet import Fleet
from sota.resolver.index.pending import Pending
from sota.resolver.index.share import WHOLE, Share
from sota.resolver.index.snapshot import Snapshots
from sota.resolver.index.workers import Workers
from sota.resolver.settings import ResolverSettings

READ_AT_ONCE = 200
SMALL_BYTES = 2_000
FOLLOW_INTERVAL_S = 1.0  # each query reads the log itself: this only keeps that short
RETRY_S = 2.0


class Keeper:
    """The newest state."""

    def __init__(self, db: Database, workers: Workers, settings: ResolverSettings, share: Share = WHOLE) -> None:
        self._db, self._workers, self._share = db, workers, share
        self._snapshots = Snapshots(settings.data / share.folder)
        self._save_interval_s, self._kept = settings.snapshot_interval_s, settings.kept_changes
        self._log = get_logger(program="resolver")
        self._fleet: Fleet | None = None
        self._turn = asyncio.Lock()
        self._rounds = 0
        self._saved = -1
        self._is_snapshot_good = True
        self.loaded = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        """Whether queries can be answered."""
        return self._fleet is not None

    def start(self, background: Background) -> asyncio.Task[None]:
        """Start to load, and then to follow and save."""
        return background.keep("resolver:index", self._keep)

    async def newest(self) -> Fleet:
        """Return a state that contains everything that was committed before this call.

        Raises:
            Unavailable: the index is not loaded yet, or cannot follow the database now.
        """
        if self._fleet is None:
            raise Unavailable("The index of the fleet is being loaded: try again in a moment.")
        wanted = self._rounds + 1 if not self._turn.locked() else self._rounds + 2
        async with self._turn:
            # A read that began after this call serves as well as one of our own.
            if self._rounds < wanted:
                await self._follow()
                self._rounds += 1
        if self._fleet is None:
            raise Unavailable("The index of the fleet is being rebuilt: try again in a moment.")
        return self._fleet

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        next_save = 0.0
        while True:
            try:
                if self._fleet is None:
                    await self._load()
                else:
                    await self.newest()
                if self._fleet is not None and (loop.time() >= next_save or self._is_far(self._fleet)):
                    await self._save(self._fleet)
                    next_save = loop.time() + self._save_interval_s
            except (SotaError, ValueError) as error:
                self._log.warning("index_not_kept", reason=str(error))
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(FOLLOW_INTERVAL_S)

    def _is_far(self, fleet: Fleet) -> bool:
        """Whether the log has grown long since the last snapshot."""
        return fleet.position.number - self._saved > self._kept // 2

    async def _load(self) -> None:
        started = asyncio.get_running_loop().time()
        async with self._turn:
            fleet = await self._load_snapshot()
            source = "snapshot" if fleet is not None else "database"
            self._fleet = fleet if fleet is not None else await loading.load(self._db, self._workers, self._share)
            await self._follow()
        if self._fleet is not None:
            seconds = round(asyncio.get_running_loop().time() - started, 3)
            self._log.info("index_loaded", source=source, vehicles=self._fleet.count, seconds=seconds)
            self.loaded.set()

    async def _load_snapshot(self) -> Fleet | None:
        if not self._is_snapshot_good:
            return None
        try:
            fleet = await self._workers.run(self._snapshots.load)
        except (OSError, ValueError) as error:
            self._log.warning("snapshot_not_used", reason=str(error))
            return None
        if fleet is None:
            return None
        async with self._db.read() as tx:
            if not await change_store.holds(tx, fleet.position):
                self._log.warning("snapshot_not_used", reason="the log of changes does not continue it")
                return None
        self._saved = fleet.position.number
        return fleet

    async def _follow(self) -> None:
        """Apply what was committed before this call, not later entries: with constant writes that might never end."""
        if self._fleet is None:
            return
        async with self._db.read() as tx:
            if await change_store.read_head(tx) == self._fleet.position:
                return
        # In one snapshot, so that a thing that is added and removed is not half there.
        async with self._db.read_one_moment() as tx:
            head = await change_store.read_head(tx)
            # Numbers alone do not suffice: a replica without the last commits gives them again.
            if not await change_store.holds(tx, self._fleet.position):
                self._note_drop()
                self._fleet = None
            while self._fleet is not None and self._fleet.position.number < head.number:
                self._fleet = await self._take_some(tx, self._fleet)

    async def _take_some(self, tx: Tx, fleet: Fleet) -> Fleet | None:
        """Apply the next entries. Things they name that no longer exist are corrected by later entries."""
        entries = await change_store.read_after(tx, fleet.position.number, READ_AT_ONCE)
        if not entries or entries[0].position.number != fleet.position.number + 1:
            self._note_drop()
            return None
        # A few steps take less time than a switch to a thread.
        is_small = sum(len(entry.content) for entry in entries) < SMALL_BYTES
        try:
            pending = _fold(entries) if is_small else await self._workers.run(_fold, entries)
        except Damaged:  # the tables have the entry's result: load them, and no snapshot
            self._is_snapshot_good = False
            return None
        texts = {kind: await store.read_texts(tx, kind, of) for kind, of in pending.new_things(fleet).items()}
        vins = await store.read_vins(tx, pending.new_vehicles())
        position = entries[-1].position
        return await self._workers.run(pending.apply, fleet, position, vins, texts, self._share)

    def _note_drop(self) -> None:
        self._log.warning("index_dropped", reason="the log of changes does not continue it")

    async def _save(self, fleet: Fleet) -> None:
        """Write a snapshot if something changed, then delete old entries of the log."""
        if fleet.position.number == self._saved:
            return
        try:
            # Not in the thread of queries: a large snapshot takes seconds.
            await asyncio.to_thread(self._snapshots.save, fleet)
        except OSError as error:  # the next start takes longer; nothing else is lost
            self._log.error("snapshot_not_written", reason=str(error))
        else:
            self._is_snapshot_good = True
        self._saved = fleet.position.number
        while await self._db.transact(lambda tx: change_store.prune(tx, self._kept, READ_AT_ONCE)):
            pass


def _fold(entries: Sequence[Entry]) -> Pending:
    pending = Pending()
    for entry in entries:
        damage.read("change", entry.position.number, partial(_take, pending, entry))
    return pending


def _take(pending: Pending, entry: Entry) -> None:
    pending.take(decode(entry.content))
