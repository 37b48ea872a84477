"""Work that is tried again, with growing pauses, until it is done or no longer wanted.

Each task has a key, and each key has one task. A task whose attempt returns False is tried again although it did not
fail: a message through the nodes can be lost, and only the answer to it, which stops the task, shows that it was not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sota.kit.errors import SotaError
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier

Attempt = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The pauses between attempts, and the number of attempts (None: unlimited)."""

    first_s: float
    max_s: float
    attempts: int | None = None


class RetryTasks:
    """The retry tasks of one part of a program."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._notifier = Notifier()
        self._log = get_logger(program="client")

    def start(self, key: str, attempt: Attempt, policy: RetryPolicy) -> None:
        """Start a task, unless one with this key runs already."""
        if key not in self._tasks:
            task = asyncio.create_task(self._run(key, attempt, policy), name=key)
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))

    def stop(self, key: str) -> None:
        """Stop a task: it is done, or no longer wanted."""
        task = self._tasks.pop(key, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def stop_all_but(self, kept: str) -> None:
        """Stop all tasks except those of one kind."""
        for key in [key for key in self._tasks if not key.startswith(f"{kept}:")]:
            self.stop(key)

    def retry_now(self) -> None:
        """Try all tasks now: a program that was away is back."""
        self._notifier.notify()

    async def close(self) -> None:
        """Stop all tasks; the next start creates them again from what is on disk."""
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self.stop(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: str, attempt: Attempt, policy: RetryPolicy) -> None:
        pause = policy.first_s
        number = 0
        while policy.attempts is None or number < policy.attempts:
            number += 1
            heard = self._notifier.count
            try:
                if await attempt():
                    return
            except (SotaError, OSError) as error:
                self._log.info("retry_postponed", task=key, detail=str(error), attempt=number)
            await self._notifier.wait(heard, pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads calls, no secret
            pause = policy.first_s if self._notifier.count != heard else min(pause * 2, policy.max_s)
        self._log.warning("retry_given_up", task=key, attempts=number)

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and task.exception() is not None:
            self._log.error("retry_crashed", task=key, exc_info=task.exception())
