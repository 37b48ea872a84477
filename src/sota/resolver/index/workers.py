"""Computation beside the event loop, bounded: a long resolve may not keep other requests waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Workers:
    """At most so many computations at once, each in a thread of its own; others wait their turn, first come first.

    Whoever has much to compute does it in pieces: between two of them it is everybody else's turn.
    """

    def __init__(self, count: int, name: str = "worker") -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Compute ``function(*args)`` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    def close(self) -> None:
        """Take no more work; what is being computed ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
