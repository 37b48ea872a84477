"""Loads a state of the fleet from the database, slice by slice, so that each read is short.

Meanwhile other transactions write, so the result is inconsistent until the log has been followed from the position
that was read first. Following it sets every link that changed meanwhile to its new value, so that the end result is
right.
"""

from __future__ import annotations

import asyncio

from sota.kit.sql.database import Database
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Kind
from sota.resolver.index import store
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet, Shard, ShardBuilder
from sota.resolver.index.share import WHOLE, Share
from sota.resolver.index.vins import SHARD_BITS, SHARD_SIZE
from sota.resolver.index.workers import Workers

SLICE = 1 << 14
AT_ONCE = 4
"""How many slices are read at the same time, each over its own connection: the engine computes, too."""


async def load(db: Database, workers: Workers, share: Share = WHOLE) -> Fleet:
    """Load everything, or a share of it. The result has the log position from which it must be followed.

    Raises:
        ValueError: the database contains impossible values.
        Unavailable: the database is down.
    """
    async with db.read() as tx:
        position = await change_store.read_head(tx)
        texts = {kind: await store.read_texts(tx, kind) for kind in Kind}
        last = await store.last_vehicle(tx)
    for of_kind in texts.values():
        store.check_numbers(of_kind)
    shards: dict[int, Shard] = {}
    first: int | None = 0
    while first is not None and first <= last:
        async with db.read() as tx:
            first = await store.next_vehicle(tx, first)
        if first is not None:
            number = first >> SHARD_BITS
            if share.holds(number):
                shards[number] = await _load_shard(db, workers, number, last)
            first = (number + 1) << SHARD_BITS
    return Fleet(position, Dictionary(texts), shards)


async def _load_shard(db: Database, workers: Workers, number: int, last: int) -> Shard:
    builder = ShardBuilder(number)
    base = number << SHARD_BITS
    firsts = range(base, min(base + SHARD_SIZE, last + 1), SLICE)
    for start in range(0, len(firsts), AT_ONCE):
        some = firsts[start : start + AT_ONCE]
        await asyncio.gather(*(_load_slice(db, workers, builder, base, first) for first in some))
    return await workers.run(builder.build)


async def _load_slice(db: Database, workers: Workers, builder: ShardBuilder, base: int, first: int) -> None:
    end = first + SLICE - 1
    async with db.read() as tx:
        await store.prepare(tx)
        # Links first: a vehicle that is registered after this is in the log with all its links.
        links = {kind: await store.read_links(tx, kind, first, end) for kind in Kind}
        vehicles, vins = await store.read_vehicles(tx, first, end)
    for kind, (owners, things) in links.items():
        await workers.run(builder.add_links, kind, owners - base, things)
    await workers.run(builder.add_vehicles, vehicles - base, vins)
