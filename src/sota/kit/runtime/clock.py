"""Time and ids, injected so that tests can control them.

Times are aware and UTC; ids are UUIDv7 (RFC 9562, 5.7): they sort by the moment of their creation.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Where a program gets the time."""

    def now(self) -> datetime:
        """Return the present moment, UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment, UTC."""
        return datetime.now(UTC)


class _Ids:
    """Milliseconds and count of the newest id, so that the next one sorts behind it whatever the clock does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = self._count = 0

    def next(self) -> tuple[int, int]:
        """Return 48 bits of milliseconds and 12 bits that count within them."""
        now = time.time_ns() // 1_000_000
        with self._lock:
            if now > self._milliseconds:
                # The upper half is left for ids within the same millisecond.
                self._milliseconds, self._count = now, int.from_bytes(os.urandom(2)) & 0x7FF
            elif self._count < 0xFFF:
                self._count += 1
            else:
                self._milliseconds, self._count = self._milliseconds + 1, 0
            return self._milliseconds, self._count

    def pass_by(self, milliseconds: int) -> None:
        """Make all further ids sort behind those of this moment."""
        with self._lock:
            if milliseconds > self._milliseconds:
                self._milliseconds, self._count = milliseconds, 0xFFF


_ids = _Ids()


def new_id() -> UUID:
    """Return a new UUIDv7: 48 bits of unix milliseconds, a count within them, then randomness.

    It sorts behind all earlier ones of this process (RFC 9562, 6.2), even after the clock was set back: messages sent
    in the order of their ids must not overtake older ones.

    >>> one, other = new_id(), new_id()
    >>> one < other, one.version
    (True, 7)
    """
    milliseconds, count = _ids.next()
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | count << 64  # version, rand_a
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) & (1 << 62) - 1  # variant, rand_b
    return UUID(int=value)


def sort_behind(newest: UUID) -> None:
    """Make further ids of this process sort behind one of an earlier process, perhaps from a later clock."""
    _ids.pass_by(newest.int >> 80)
