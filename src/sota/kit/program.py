"""Runs one or several programs in a process: start in order, operation port, clean end on SIGTERM or SIGINT.

A program offers ``name``, ``start``, ``stop`` and ``trouble``; what it does in the background belongs to it
(:mod:`sota.kit.background`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

from sota.kit import metrics
from sota.kit.background import Background, on_fatal
from sota.kit.errors import Refused, StartError
from sota.kit.http_listener import HttpListener
from sota.kit.http_message import Call, Reply
from sota.kit.http_server import App
from sota.kit.logging import get_logger
from sota.kit.marks import serves

__all__ = ["Background", "OperationApi", "RunnableProgram", "operation_app", "run"]

STOP_TIMEOUT_S = 15.0


class RunnableProgram(Protocol):
    """What this module runs."""

    @property
    def name(self) -> str:
        """The command's name: ``core``."""
        ...

    async def start(self) -> None:
        """Return when requests can be answered."""
        ...

    async def stop(self) -> None:
        """End what is under way, leave nothing half-done."""
        ...

    async def trouble(self) -> str | None:
        """Return why requests cannot be answered now (its database, its neighbours); None where they can."""
        ...


class OperationApi:
    """The operation port: liveness, readiness, metrics. Plain, unauthenticated, loopback by default."""

    def __init__(self, programs: Sequence[RunnableProgram]) -> None:
        self._programs = programs

    @serves("X-B0-1")
    async def healthz(self, _call: Call[Any]) -> Reply:
        """The process answers."""
        return Reply("alive", {"status": "ok", "programs": [program.name for program in self._programs]})

    @serves("X-B0-2")
    async def readyz(self, _call: Call[Any]) -> Reply:
        """Every program of the process can do its work now."""
        troubles = await asyncio.gather(*(program.trouble() for program in self._programs), return_exceptions=True)
        waiting = [f"{program.name}: {why}" for program, why in zip(self._programs, troubles, strict=True) if why]
        if waiting:
            raise Refused("not_ready", f"Not ready: {'; '.join(waiting)}.", status=503)
        return Reply("ready", {"status": "ready", "programs": [program.name for program in self._programs]})

    @serves("X-B0-3")
    async def metrics(self, _call: Call[Any]) -> Reply:
        """Prometheus's text format."""
        return Reply("measured", raw=metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


def operation_app(programs: Sequence[RunnableProgram], rows: Sequence[Any]) -> App:
    """Make the operation port's application from its declared rows (X-B0)."""
    app = App("operation", rows)
    app.add(OperationApi(programs))
    app.check()
    return app


async def run(
    programs: Sequence[RunnableProgram],
    *,
    operation_rows: Sequence[Any],
    host: str = "127.0.0.1",
    operation_port: int = 0,
    when_ready: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Start the programs, run ``when_ready`` or wait for a signal, stop them in reverse.

    Raises:
        StartError: a program cannot start, or a background task died (exit code 1).
    """
    ending: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    started: list[Any] = []
    with _ended_by_signals(ending):
        try:
            if operation_port:
                started.append(HttpListener(operation_app(programs, operation_rows), host, operation_port))
                await started[-1].start()
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
    """Let the garbage collector pass over what stays: modules, routes, statements; some 100,000 objects.

    A full collection walks all of them, and everybody waits meanwhile: 75 ms were measured, under 1 ms after this.
    """
    gc.collect()
    gc.freeze()


async def _wait_for_end(ending: asyncio.Future[str | None], when_ready: Callable[[], Awaitable[None]] | None) -> None:
    if when_ready is None:
        reason = await ending
    else:
        main: asyncio.Future[None] = asyncio.ensure_future(when_ready())
        waits: set[asyncio.Future[Any]] = {ending, main}
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


async def _stop(program: Any) -> None:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await program.stop()
    except TimeoutError:
        get_logger().error("program_did_not_stop", name=getattr(program, "name", "operation"))
