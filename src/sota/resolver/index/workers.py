"""Limited computation beside the event loop: a long resolve must not block other requests."""

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
"""A long computation in steps; between two of them another one may have its turn."""

TURN_S = 0.02


class Workers:
    """Runs a limited number of computations at once, each in a thread; others wait in order.

    A long computation runs in steps of some milliseconds, so that others wait for one turn of it and not for all of
    it.
    """

    def __init__(self, count: int, name: str = "worker") -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Compute ``function(*args)`` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def run_steps(self, steps: Steps[Result]) -> Result:
        """Compute in turns with all other computations here."""
        done: list[Result] = []
        while not done:
            await self.run(_take_turn, steps, done)
        return done[0]

    def close(self) -> None:
        """Accept no more work; running computations end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _take_turn(steps: Steps[Result], done: list[Result]) -> None:
    """Run steps until the turn is over; the result goes to ``done``."""
    ends = time.monotonic() + TURN_S
    try:
        while time.monotonic() < ends:
            next(steps)
    except StopIteration as ended:
        done.append(ended.value)
