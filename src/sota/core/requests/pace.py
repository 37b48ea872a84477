"""How many vehicles are queued in one transaction: as many as are written in the time that others may wait.

Each transaction costs some milliseconds whatever it writes, so many small ones are slow; SQLite has one writer, so
whoever else wants to write waits for a long one. How much a machine writes meanwhile is learned from chunk to chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

# How long a transaction may keep SQLite's only writer.
AIM_S = 0.025
LEAST_SQLITE, MOST_SQLITE = 500, 2000
SIZE_MARIADB = 2000


@dataclass(slots=True)
class Pace:
    """``size`` is the number of vehicles of the next transaction, from ``least`` to ``most``."""

    size: int
    least: int
    most: int

    @classmethod
    def of(cls, *, is_sqlite: bool) -> Pace:
        """Begin small on SQLite; MariaDB writes for others meanwhile, whatever the size."""
        return cls(LEAST_SQLITE, LEAST_SQLITE, MOST_SQLITE) if is_sqlite else cls.fixed(SIZE_MARIADB)

    @classmethod
    def fixed(cls, size: int) -> Pace:
        """Always write so many."""
        return cls(size, size, size)

    def note(self, vehicles: int, took_s: float) -> None:
        """Learn from a transaction that wrote ``vehicles`` in ``took_s`` seconds.

        One that was hindered once must not make all that follow small, nor a lucky one make them long.

        >>> pace = Pace(500, 500, 2000)
        >>> pace.note(500, 0.01)
        >>> pace.size
        750
        >>> pace.note(750, 0.5)
        >>> pace.size
        500
        """
        fitting = vehicles * AIM_S / max(took_s, 0.001)
        wanted = min(max(fitting, self.size / 2), self.size * 1.5)
        self.size = int(min(max(wanted, self.least), self.most))
