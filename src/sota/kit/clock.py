"""Time and ids, handed to whoever needs them so that tests can hold them still.

Times are aware and UTC; ids are UUIDv7 (RFC 9562, 5.7): they sort by the moment of their making.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Where a program gets the time from."""

    def now(self) -> datetime:
        """Give the present moment, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Give the present moment, UTC."""
        return datetime.now(UTC)


def new_id() -> UUID:
    """Make a UUIDv7: 48 bits of unix milliseconds, then randomness.

    >>> new_id().version
    7
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random >> 64 & 0xFFF) << 64  # version, rand_a
    value |= 0b10 << 62 | random & (1 << 62) - 1  # variant, rand_b
    return UUID(int=value)
