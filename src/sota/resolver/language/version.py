"""Order of versions: decimal numbers with dots, compared number by number (docs/specification.md, ruling 19).

Missing numbers at the end are zero: ``2.1`` and ``2.1.0`` are equal. A version that is not made of decimal numbers,
such as ``v7~rc1``, has no order, and every comparison with it is false.

>>> VersionOperator.LESS.holds("1.9.0", read_numbers("1.10"))
True
>>> VersionOperator.NOT_EQUAL.holds("v7~rc1", read_numbers("1.10"))
False
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from enum import StrEnum

Numbers = tuple[int, ...]

# A vehicle may report up to 128 characters (docs/specification.md, ruling 19).
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*\Z")


class VersionOperator(StrEnum):
    """How an installed version must compare to the filter's."""

    LESS = "<"
    AT_MOST = "<="
    EQUAL = "="
    NOT_EQUAL = "!="
    AT_LEAST = ">="
    GREATER = ">"

    def holds(self, installed: str, wanted: Numbers | None) -> bool:
        """Return whether the installed version compares so; False if one of them has no order."""
        own = read_numbers(installed)
        return own is not None and wanted is not None and _COMPARISONS[self](own, wanted)


_COMPARISONS: dict[str, Callable[[Numbers, Numbers], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


def read_numbers(version: str) -> Numbers | None:
    """Parse a version for comparison; None if it is not made of decimal numbers."""
    if _NUMBERS.match(version) is None or len(version) > 128:
        return None
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
