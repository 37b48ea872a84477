"""A clock for programs that run in the test's process: the machine's own, until a test holds it still."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta


class HeldClock:
    """The machine's clock. Held, it moves only by :meth:`pass_time`, however long a loaded machine takes."""

    def __init__(self) -> None:
        self._held: datetime | None = None
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the present moment, UTC."""
        return (self._held or datetime.now(UTC)) + self._ahead

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the clock still meanwhile."""
        self._held = datetime.now(UTC)
        try:
            yield
        finally:
            self._held = None

    def pass_time(self, **spans: float) -> None:
        """Let time go by; it stays gone by."""
        self._ahead += timedelta(**spans)
