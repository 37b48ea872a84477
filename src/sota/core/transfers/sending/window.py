"""How many blocks of a transfer are on the way at once: as many as its link needs to be full, and hardly one more.

What is on the way when a link breaks is sent again, so on a bad day every block too many costs. The delay between a
block and its acknowledgement says how many that is: a delay longer than the shortest one is time spent in queues, and
``blocks * (1 - shortest / delay)`` estimates how many blocks stand in them (the idea of TCP Vegas, applied to blocks).

Rules kept here:

* it begins with :data:`FIRST` blocks, and grows by one with each acknowledgement until blocks queue for the first time;
* then it grows, or shrinks, by one block in the time that a whole window takes, so that one or two blocks queue;
* nothing waits longer than :data:`LONGEST_S` where a smaller window prevents that;
* a block whose time is over halves it; an interruption begins a new one.

Nothing here does I/O; seconds are handed in. The operator's ``window`` is the most, which the caller sees to.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 2.0
MOST = 256.0
FEW_QUEUED, MANY_QUEUED = 1.0, 2.0
LONGEST_S = 2.0


@dataclass(slots=True)
class Window:
    """The window of one transfer over one link.

    >>> window = Window()
    >>> for _ in range(4): window.acknowledged(0.1, 1)
    >>> window.blocks
    6
    >>> window.lost(); window.blocks
    3
    """

    size: float = FIRST
    shortest_s: float = 0.0
    grows_fast: bool = True

    @property
    def blocks(self) -> int:
        """How many blocks may be on the way."""
        return int(self.size)

    def acknowledged(self, delay_s: float, count: int) -> None:
        """Take that ``count`` blocks were acknowledged, the last of them sent ``delay_s`` ago, and once only."""
        delay_s = max(delay_s, 1e-6)
        self.shortest_s = min(self.shortest_s, delay_s) if self.shortest_s else delay_s
        queued = self.size * (1.0 - self.shortest_s / delay_s)
        if queued > FEW_QUEUED:
            self.grows_fast = False
        if queued > MANY_QUEUED or delay_s > LONGEST_S:
            self.size = max(1.0, self.size - count / self.size)
        elif queued <= FEW_QUEUED:
            self.size = min(MOST, self.size + (count if self.grows_fast else count / self.size))

    def lost(self) -> None:
        """Take that a block was not acknowledged in its time."""
        self.size, self.grows_fast = max(1.0, self.size / 2), False
