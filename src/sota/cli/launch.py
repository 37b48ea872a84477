"""Runs programs in this process until a signal ends them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sota.boundaries.binding.operation import operation_app
from sota.kit.errors import StartError
from sota.kit.files.data_folder import Claim, claimed
from sota.kit.http.listener import HttpListener
from sota.kit.runtime.logging import configure
from sota.kit.runtime.program import RunnableProgram, run
from sota.kit.runtime.settings import Settings, describe, load

AnySettings = TypeVar("AnySettings", bound=Settings)


def launch(
    make: Callable[[], Sequence[RunnableProgram]],
    *,
    log_level: str = "info",
    host: str = "127.0.0.1",
    operation_port: int = 0,
    when_ready: Callable[[], Awaitable[None]] | None = None,
    claims: Sequence[Claim] = (),
) -> None:
    """Create the programs inside the event loop, start them, wait for SIGTERM or SIGINT, stop them.

    ``claims`` are the data folders that they lock, from before they are created until they have ended.

    Raises:
        StartError: one cannot start, or a part of it died.
    """

    async def main() -> None:
        programs = make()
        operation = HttpListener(operation_app(programs), host, operation_port) if operation_port else None
        await run(programs, operation=operation, when_ready=when_ready)

    with claimed(*claims):
        configure(log_level)
        loop_runner()(main())


def loop_runner() -> Callable[[Coroutine[Any, Any, None]], None]:  # Any: what a coroutine yields
    """Return what runs the event loop: uvloop if it is installed, as in every backend.

    A vehicle has few connections and saves those 14 MB of disk.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def run_one(
    program: str,
    kind: type[AnySettings],
    make: Callable[[AnySettings], RunnableProgram],
    config: Path | None,
    overrides: Sequence[str],
    *,
    show: bool,
    greeting: Callable[[Any], str | None] | None = None,  # Any: of the program that ``make`` returns
) -> None:
    """Run one program with its settings, or print them if ``show`` is set.

    ``greeting`` returns a line to print once the program is ready.
    """
    settings = load(kind, program, file=config, overrides=parse_overrides(overrides))
    if show:
        print_settings(program, settings)
        return
    made: list[RunnableProgram] = []

    def build() -> list[RunnableProgram]:
        made.append(make(settings))
        return made

    async def greet() -> None:
        if greeting is not None and (line := greeting(made[0])):
            print(line, file=sys.stderr, flush=True)
        await asyncio.Event().wait()

    launch(
        build,
        log_level=settings.log_level,
        host=settings.host,
        operation_port=settings.operation_port,
        when_ready=greet,
        claims=(Claim(settings.data, program),),
    )


def parse_overrides(overrides: Sequence[str]) -> dict[str, object]:
    """Read ``name=value`` arguments.

    Raises:
        StartError: one has no ``=``.
    """
    pairs = [text.partition("=") for text in overrides]
    for name, equals, _ in pairs:
        if not equals:
            raise StartError(f"--set {name}: write name=value")
    return {name.strip().replace("-", "_"): value for name, _, value in pairs}


def print_settings(program: str, settings: Settings) -> None:
    """Print every setting: its name, its current value, its environment variable, what it means."""
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "environment variable", "meaning", title=f"Settings of sota {program}")
    for name, variable, _, meaning in describe(type(settings), program):
        table.add_row(name, str(getattr(settings, name)), variable, meaning)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
