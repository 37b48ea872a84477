"""Several locks of one kind, held together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager


@asynccontextmanager
async def all_locked(locks: Mapping[int, asyncio.Lock], numbers: Iterable[int]) -> AsyncIterator[None]:
    """Hold the locks with these numbers, taken in one order, so that two callers never wait for each other."""
    async with AsyncExitStack() as stack:
        for number in sorted(set(numbers)):
            await stack.enter_async_context(locks[number])
        yield
