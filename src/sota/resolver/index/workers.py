"""Computation beside the event loop, bounded: a long resolve may not keep other requests waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""A long computation: between two of its steps it may be somebody else's turn."""

TURN_S = 0.02


class Workers:
    """At most so many computations at once, each in a thread of its own; others wait their turn, first come first.

    Whoever has much to compute does it in steps, some milliseconds each, so that everybody else waits for a turn of it
    and never for all of it.
    """

    def __init__(self, count: int, name: str = "worker") -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Compute ``function(*args)`` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def run_steps(self, steps: Steps[Result]) -> Result:
        """Compute in turns with all others who compute here."""
        done: list[Result] = []
        while not done:
            await self.run(_take_turn, steps, done)
        return done[0]

    def close(self) -> None:
        """Take no more work; what is being computed ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def finish(steps: Steps[Result]) -> Result:
    """Compute without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: Result = ended.value
            return result


def _take_turn(steps: Steps[Result], done: list[Result]) -> None:
    """Take steps until the turn is over; the result goes to ``done``."""
    ends = time.monotonic() + TURN_S
    try:
        while time.monotonic() < ends:
            next(steps)
    except StopIteration as ended:
        done.append(ended.value)
