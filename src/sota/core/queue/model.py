"""The order of a vehicle's queue that an operator sets. Nothing here does I/O.

Updates are ordered by priority, then by the time of their request. A manual order holds among the updates that it
lists; one that is queued later is placed by its priority: before listed updates with a higher number, after the rest.
So a listed update has the lowest number among itself and those after it.
"""

from __future__ import annotations

from collections.abc import Sequence


def arrange(priorities: Sequence[int]) -> list[int]:
    """Return the effective priorities of updates in this order.

    >>> arrange([50, 10, 90])
    [10, 10, 90]
    """
    arranged: list[int] = []
    for priority in reversed(priorities):
        arranged.append(min(priority, arranged[-1]) if arranged else priority)
    return arranged[::-1]
