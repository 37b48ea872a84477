"""Batches requests that arrive close together, so that many callers share one transaction.

A lone sequential caller never waits: a pause follows only a batch that several callers shared.

>>> batcher = Batcher(read_many, key=lambda vin: vin, most=200, pause_s=0.1)              # doctest: +SKIP
>>> found = await batcher.submit("WVW00000000000001")                                     # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchTimer:
    """Decides when the next batch may begin: ``pause_s`` after one that several callers shared, otherwise at once."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s, self._next_at = pause_s, 0.0

    @property
    def left_s(self) -> float:
        """How long the next batch must wait."""
        return max(0.0, self._next_at - time.monotonic())

    def began(self, count: int) -> None:
        """Note that a batch of ``count`` callers begins."""
        self._next_at = time.monotonic() + self._pause_s if count > 1 else 0.0


class Batcher(Generic[Item, Result]):
    """Passes items to ``work`` in batches, one batch at a time.

    ``work`` returns a result or an exception for each item, in their order; what it raises goes to every caller of the
    batch. A batch has at most ``most`` items, and no two with the same ``key``; without one, items keep their order.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        key: Callable[[Item], Hashable] | None = None,
        most: int,
        pause_s: float = 0.0,
    ) -> None:
        self._work, self._key, self._most = work, key, most
        self._timer = BatchTimer(pause_s)
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Take an item; return the future of its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="batcher")
        return future

    async def submit(self, item: Item) -> Result:
        """Return the result for one item, or raise its exception."""
        return await asyncio.shield(self.put(item))

    async def settle(self) -> None:
        """Wait until no batch is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < self._most:
                    await asyncio.sleep(self._timer.left_s)
                batch = self._take()
                self._timer.began(len(batch))
                await self._do(batch)
        finally:
            self._task = None

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        if self._key is None:
            taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            return taken
        batch: dict[Hashable, tuple[Item, asyncio.Future[Result]]] = {}
        rest = []
        for one in self._waiting:
            key = self._key(one[0])
            if key in batch or len(batch) == self._most:
                rest.append(one)
            else:
                batch[key] = one
        self._waiting = rest
        return list(batch.values())

    async def _do(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        results: Sequence[Result | Exception]
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - the callers handle it
            results = [error] * len(batch)
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
                future.exception()  # a caller that was cancelled must not leave a warning
            else:
                future.set_result(result)
