"""How many vehicles are queued in one transaction: as many as are written in the time that others may wait.

Each transaction costs some milliseconds whatever it writes, so many small ones are slow. SQLite has one writer, so all
others wait for a long one. The size follows what the machine wrote in the chunks before.
"""

from __future__ import annotations

from dataclasses import dataclass

# How long a transaction may keep SQLite's only writer.
AIM_S = 0.025
LEAST_SQLITE, MOST_SQLITE = 500, 2000
SIZE_MARIADB = 2000


@dataclass(slots=True)
class ChunkSize:
    """``size`` is the number of vehicles of the next transaction, from ``least`` to ``most``."""

    size: int
    least: int
    most: int

    @classmethod
    def of(cls, *, is_sqlite: bool) -> ChunkSize:
        """Begin small on SQLite; MariaDB writes for others at the same time, whatever the size."""
        return cls(LEAST_SQLITE, LEAST_SQLITE, MOST_SQLITE) if is_sqlite else cls.fixed(SIZE_MARIADB)

    @classmethod
    def fixed(cls, size: int) -> ChunkSize:
        """Return a size that never changes."""
        return cls(size, size, size)

    def note(self, vehicles: int, took_s: float) -> None:
        """Learn from a transaction that wrote ``vehicles`` in ``took_s`` seconds.

        One slow transaction must not make all that follow small, nor a quick one make them large.

        >>> chunk = ChunkSize(500, 500, 2000)
        >>> chunk.note(500, 0.01)
        >>> chunk.size
        750
        >>> chunk.note(750, 0.5)
        >>> chunk.size
        500
        """
        fitting = vehicles * AIM_S / max(took_s, 0.001)
        wanted = min(max(fitting, self.size / 2), self.size * 1.5)
        self.size = int(min(max(wanted, self.least), self.most))
