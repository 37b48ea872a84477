"""Runs one or several programs in a process: start in order, operation port, clean end on SIGTERM or SIGINT.

A program has ``name``, ``start``, ``stop`` and ``trouble``; it owns its background tasks
(:mod:`sota.kit.runtime.background`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

from sota.kit.errors import StartError
from sota.kit.http.listener import HttpListener
from sota.kit.runtime.background import Background, on_fatal
from sota.kit.runtime.logging import get_logger

__all__ = ["Background", "RunnableProgram", "run"]

STOP_TIMEOUT_S = 15.0


class RunnableProgram(Protocol):
    """What this module runs."""

    @property
    def name(self) -> str:
        """The command's name: ``core``."""

    async def start(self) -> None:
        """Return when requests can be answered."""

    async def stop(self) -> None:
        """End running work, leave nothing half-done."""

    async def trouble(self) -> str | None:
        """Return why requests cannot be answered now (its database, its neighbours); None if they can."""


async def run(
    programs: Sequence[RunnableProgram],
    *,
    operation: HttpListener | None = None,
    when_ready: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Start the operation port and the programs, run ``when_ready`` or wait for a signal, stop them in reverse.

    Raises:
        StartError: a program cannot start, or a background task died (exit code 1).
    """
    ending: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    started: list[Any] = []  # Any: programs of several kinds, and what answers for them
    with _ended_by_signals(ending):
        try:
            if operation is not None:
                started.append(operation)
                await operation.start()
            for program in programs:
                started.append(program)
                await program.start()
                get_logger().info("program_started", name=program.name)
            _settle()
            await _wait_for_end(ending, when_ready)
        finally:
            for program in reversed(started):
                await _stop(program)


def _settle() -> None:
    """Exclude permanent objects from garbage collection: modules, routes, statements; some 100,000 objects.

    A full collection would walk them all and block every request: 75 ms were measured, under 1 ms after this.
    """
    gc.collect()
    gc.freeze()


async def _wait_for_end(ending: asyncio.Future[str | None], when_ready: Callable[[], Awaitable[None]] | None) -> None:
    if when_ready is None:
        reason = await ending
    else:
        main: asyncio.Future[None] = asyncio.ensure_future(when_ready())
        waits: set[asyncio.Future[Any]] = {ending, main}  # Any: different results
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                main.result()
                return
            reason = ending.result()
        finally:
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
    if reason is not None:
        raise StartError(reason, exit_code=1)


@contextlib.contextmanager
def _ended_by_signals(ending: asyncio.Future[str | None]) -> Iterator[None]:
    def end(reason: str | None = None) -> None:
        if not ending.done():
            ending.set_result(reason)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    on_fatal.append(end)
    try:
        yield
    finally:
        on_fatal.remove(end)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _stop(program: Any) -> None:  # Any: as above
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await program.stop()
    except TimeoutError:
        get_logger().error("program_did_not_stop", name=getattr(program, "name", "operation"))
