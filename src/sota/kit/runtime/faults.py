"""Where a test may kill this process: before or after any of its durable writes.

Off unless ``SOTA_FAULTS`` names a folder when the process starts; then every durable write reports its step here, by
name (``ClientState.offer``, ``BlockFile.write``). In that folder

* ``steps`` gets a line for each step, so that a run without faults lists them all;
* ``plan``, which a test may write at any time, says where to end: ``before ClientState.offer 1`` kills the process
  (SIGKILL, like a loss of power) before the first such write after the plan was found. The plan is removed first, so
  that a restarted process continues.

``make faults`` plays all of them. The variable is never set in production; a process in which it is set logs that.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path

VARIABLE = "SOTA_FAULTS"
BEFORE, AFTER = "before", "after"


class Plan:
    """The fault folder of one process."""

    def __init__(self, folder: Path) -> None:
        self._steps, self._plan = folder / "steps", folder / "plan"
        self._known: tuple[str, str, int] | None = None
        self._seen = 0
        folder.mkdir(parents=True, exist_ok=True)

    def reach(self, side: str, step: str) -> None:
        """Note that a step is reached; kill the process if the plan says so."""
        if side == BEFORE:
            with self._steps.open("a") as steps:
                steps.write(f"{step}\n")
        planned = self._read()
        if planned != self._known:
            self._known, self._seen = planned, 0
        if planned is None or planned[:2] != (side, step):
            return
        self._seen += 1
        if self._seen == planned[2]:
            self._plan.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def _read(self) -> tuple[str, str, int] | None:
        try:
            side, _, rest = self._plan.read_text().strip().partition(" ")
        except OSError:
            return None
        step, _, number = rest.rpartition(" ")
        return side, step, int(number)


def step_of(work: Callable[..., object]) -> str:
    """Name a transaction after the function that does it.

    >>> class Store:
    ...     def save(self):
    ...         def work(tx): ...
    ...         return step_of(work), step_of(lambda tx: Store.save(tx))
    >>> Store().save()
    ('Store.save', 'Store.save Store.save')
    """
    while isinstance(work, functools.partial):
        work = work.func
    parts = [part for part in work.__qualname__.split(".") if part not in ("<locals>", "work")]
    code = getattr(work, "__code__", None)
    if parts[-1:] == ["<lambda>"]:
        what = ".".join(code.co_names[:2]) if code is not None else ""
        return f"{'.'.join(parts[:-1])} {what}".strip()
    return ".".join(parts)


_folder = os.environ.get(VARIABLE)
plan = Plan(Path(_folder)) if _folder else None


def before(step: str | Callable[..., object]) -> None:
    """Note that a durable write is about to be made."""
    if plan is not None:
        plan.reach(BEFORE, step if isinstance(step, str) else step_of(step))


def after(step: str | Callable[..., object]) -> None:
    """Note that a durable write is on disk, and its caller does not know yet."""
    if plan is not None:
        plan.reach(AFTER, step if isinstance(step, str) else step_of(step))
