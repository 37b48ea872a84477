"""Prints answers: a table on a terminal, plain columns in a pipe, JSON on request.

Control characters in received texts are removed: a description must not move the cursor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from sota.cli.columns import print_columns
from sota.kit.runtime.logging import UNPRINTABLE

if TYPE_CHECKING:
    from rich.progress import Progress


def show_list(titles: Sequence[str], rows: Iterable[Sequence[object]], items: object, *, json: bool) -> None:
    """Print a list: ``rows`` for people, ``items`` as JSON."""
    if json:
        print_json(items)
        return
    texts = [[printable(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        print_columns(titles, texts)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    Console().print(table if texts else "none")


def show_one(fields: Sequence[tuple[str, object]], item: object, *, json: bool) -> None:
    """Print one object: one field a line, or the object as JSON."""
    if json:
        print_json(item)
        return
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        print(f"{name.ljust(width)}  {printable(value)}")


def show_done(text: str | Sequence[str], item: object, *, json: bool) -> None:
    """Print what a command did: sentences, one a line, or the answer as JSON."""
    if json:
        print_json(item)
        return
    for line in [text] if isinstance(text, str) else text:
        print(printable(line))


def warn(text: str | None) -> None:
    """Print further information for the caller, if any."""
    if text:
        print(f"warning: {text}", file=sys.stderr)


def print_json(item: object) -> None:
    """Print an answer of the API as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(item), indent=2).decode())


def printable(value: object) -> str:
    """Return a value as text: times in UTC to the second, None as -, no control characters."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return UNPRINTABLE.sub("�", str(value))


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress bars on standard error, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        yield bars
