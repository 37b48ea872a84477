"""Which of two versions is newer, by the installer's own rules if it has any, else by their numbers.

A version that cannot be compared may be newer, so only a request that allows a downgrade replaces it.
"""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

VERSION = re.compile(r"[vV]?(\d+(?:\.\d+)*)((?:[-+~_ .a-zA-Z].*)?)", re.DOTALL)


@runtime_checkable
class Comparing(Protocol):
    """An installer that compares versions by the rules of its own kind of package."""

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Report whether the installed version is newer; None if that is unknown."""


def is_newer(installed: str, wanted: str) -> bool | None:
    """Report whether the installed version is newer, by the numbers that both begin with; None if that is unknown.

    >>> is_newer("1.10.0", "1.9.0"), is_newer("5.0.0-1", "1.0.0"), is_newer("2.0", "2.0.0")
    (True, True, False)
    >>> is_newer("unknown", "1.0.0"), is_newer("2.0.0-1", "2.0.0"), is_newer("1:1.0", "2.0.0")
    (None, None, None)
    """
    first, second = VERSION.fullmatch(installed), VERSION.fullmatch(wanted)
    if first is None or second is None:
        return None
    numbers, others = _numbers(first[1]), _numbers(second[1])
    if numbers != others:
        return numbers > others
    return False if first[2] == second[2] else None


async def why_not_over(installer: object, installed: str | None, wanted: str) -> str:
    """Return why a version must not replace the installed one without a downgrade; empty if it may."""
    if installed is None or installed == wanted:
        return ""
    if isinstance(installer, Comparing):
        newer = await installer.is_newer(installed, wanted)
    else:
        newer = is_newer(installed, wanted)
    if newer is None:
        return f"{installed} is installed, and whether {wanted} is older is unknown: a downgrade must be allowed."
    return f"{installed} is installed, which is newer than {wanted}." if newer else ""


def _numbers(version: str) -> list[int]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
