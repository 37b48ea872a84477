"""The order of a vehicle's queue, where it was given by hand. Nothing here does I/O.

Updates go by priority, then by the time of their request. An order given by hand holds among the updates that it
lists; what is queued later takes its place by its priority: before those listed of a higher number, after the rest.
So each listed update counts as if it had the lowest number among itself and those after it.
"""

from __future__ import annotations

from collections.abc import Sequence


def arrange(priorities: Sequence[int]) -> list[int]:
    """Give the priorities that updates in this order count with.

    >>> arrange([50, 10, 90])
    [10, 10, 90]
    """
    arranged: list[int] = []
    for priority in reversed(priorities):
        arranged.append(min(priority, arranged[-1]) if arranged else priority)
    return arranged[::-1]
