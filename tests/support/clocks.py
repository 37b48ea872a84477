"""Clocks that a test sets: of programs in its own process, and of processes, which get theirs from libfaketime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path


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


class SetClock:
    """The clock of the processes that have :attr:`environment`; what counts since the boot is left alone."""

    def __init__(self, library: Path, file: Path, *, cached: bool = False) -> None:
        """Make it right at first; ``cached`` is for programs that ask for the time all the time."""
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            **({"FAKETIME_CACHE_DURATION": "1"} if cached else {"FAKETIME_NO_CACHE": "1"}),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        """Set it so far ahead of the machine's clock, or behind it; running processes see it within a second."""
        new = self._file.with_name(f".{self._file.name}.new")
        new.write_text(f"{ahead_s:+.0f}\n")
        new.replace(self._file)
