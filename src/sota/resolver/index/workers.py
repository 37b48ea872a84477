"""Computation beside the event loop, bounded: a long resolve may not keep other requests waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Workers:
    """At most so many computations at once, each in a thread; further ones wait their turn."""

    def __init__(self, count: int) -> None:
        self._slots = asyncio.Semaphore(count)

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Compute ``function(*args)`` in a thread."""
        async with self._slots:
            return await asyncio.to_thread(function, *args, **kwargs)
