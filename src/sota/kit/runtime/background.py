"""Background tasks of a program: started together, repeated when they fail, ended together.

Rules kept here:

* a failed task is logged and restarted after growing pauses: a full disk, a database that is down, or an unreadable
  row must not stop the requests that can be answered;
* a task that fails repeatedly is named by :meth:`Background.trouble`, and so by ``/readyz``;
* a task that cannot be restarted (:meth:`Background.start`) ends the process when it dies, so that a supervisor
  restarts it.

>>> background.keep("core outbox", relay.run)                                            # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import TypeVar

from sota.kit.errors import SotaError
from sota.kit.runtime.logging import get_logger

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
# After running for so long a task counts as healthy: its next failure is a first one again.
RIGHT_AFTER_S = 60.0
# After a pause a task must run for so long before it counts as working again.
REMEMBERED_S = 2.0

Ended = TypeVar("Ended")
Work = Callable[[], Coroutine[object, None, object]]

on_fatal: list[Callable[[str], None]] = []
"""Called when a task dies that cannot be restarted (:func:`sota.kit.runtime.program.run`)."""


class Background:
    """Owns the background tasks of a program. ``first_pause_s`` is for tests."""

    def __init__(self, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._first_pause_s = first_pause_s
        self._tasks: set[asyncio.Task[object]] = set()
        self._failing: dict[str, tuple[str, float]] = {}

    def keep(self, name: str, work: Work) -> asyncio.Task[None]:
        """Run ``work`` until :meth:`stop`, again after each failure."""
        return self.start(name, self._keep(name, work))

    def start(self, name: str, work: Coroutine[object, None, Ended]) -> asyncio.Task[Ended]:
        """Start a task that should run until :meth:`stop`; its death by an exception is fatal for the program."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    @property
    def is_running(self) -> bool:
        """Whether any task runs."""
        return bool(self._tasks)

    def trouble(self) -> str | None:
        """Return which tasks fail now, and why; None if all work."""
        now = time.monotonic()
        failing = [f"{name} fails: {reason}" for name, (reason, until) in self._failing.items() if now < until]
        return "; ".join(failing) or None

    async def stop(self) -> None:
        """Cancel all tasks and wait until they ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _keep(self, name: str, work: Work) -> None:
        pause_s = self._first_pause_s
        while True:
            began = time.monotonic()
            try:
                await work()
                return
            except Exception as error:  # noqa: BLE001 - the edge of a task: logged and begun again
                if time.monotonic() - began > RIGHT_AFTER_S:
                    pause_s = self._first_pause_s
                waits_s = pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret
                self._failing[name] = (_reason(error), time.monotonic() + waits_s + REMEMBERED_S)
                _log(name, error, waits_s)
            await asyncio.sleep(waits_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        get_logger().critical("background_task_died", task=task.get_name(), exc_info=task.exception())
        for listener in list(on_fatal):
            listener(f"{task.get_name()} died: {task.exception()}")


def _log(name: str, error: Exception, waits_s: float) -> None:
    values: dict[str, object] = {"task": name, "reason": _reason(error), "again_in_s": round(waits_s, 1)}
    if isinstance(error, (SotaError, OSError)):  # expected errors: the reason is enough
        get_logger().warning("background_task_failed", **values)
    else:
        get_logger().error("background_task_failed", **values, exc_info=error)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # of a TaskGroup: the first failure ended the others
        error = error.exceptions[0]
    return " ".join(str(error).split())[:200] or type(error).__name__
