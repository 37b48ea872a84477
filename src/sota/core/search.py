"""Searches by regular expression: only by google-re2, never in SQL (the engines disagree, and MariaDB fails open).

A search reads the table in key order, a slice at a time, until a page is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import re2

from sota.kit.errors import Failed

MAX_PATTERN = 512
# A larger limit compiles for a third of a second and then takes milliseconds for each VIN; with a smaller one RE2
# falls back to its slow engine sooner.
MAX_MEMORY = 1 << 20
SLICE = 2000
Item = TypeVar("Item")
Key = TypeVar("Key")


class Pattern:
    """A compiled expression that is searched for anywhere in a text."""

    def __init__(self, expression: str) -> None:
        """Compile.

        Raises:
            Failed: it is too long or no RE2 expression (the row's 'an error occurs').
        """
        if len(expression) > MAX_PATTERN:
            raise Failed(f"A regular expression may have {MAX_PATTERN} characters at most.")
        options = re2.Options()
        options.max_mem = MAX_MEMORY
        options.log_errors = False
        try:
            self._compiled = re2.compile(expression, options)
        except re2.error as error:
            reason = error.args[0] if error.args else error
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise Failed(f"The regular expression does not compile: {text}.") from None

    def found_in(self, text: str) -> bool:
        """Report whether the expression matches somewhere in ``text``."""
        return self._compiled.search(text) is not None


async def search(
    read_slice: Callable[[Key | None, int], Awaitable[list[Item]]],
    key: Callable[[Item], Key],
    matches: Callable[[Item], bool] | None,
    *,
    after: Key | None,
    limit: int,
) -> tuple[list[Item], Key | None]:
    """Return a page of matching entries, and the cursor of the next page (None at the end).

    ``read_slice(after, count)`` reads the table's next entries in the order of ``key``.
    """
    found: list[Item] = []
    while True:
        count = limit + 1 if matches is None else SLICE
        entries = await read_slice(after, count)
        if matches is None:
            found += entries
        else:
            # A slice takes a millisecond or two, and a thousand times that at worst: not on the event loop.
            found += await asyncio.to_thread(_matching, entries, matches)
        if len(found) > limit:
            return found[:limit], key(found[limit - 1])
        if len(entries) < count:
            return found, None
        after = key(entries[-1])


def _matching(entries: list[Item], matches: Callable[[Item], bool]) -> list[Item]:
    return [entry for entry in entries if matches(entry)]
