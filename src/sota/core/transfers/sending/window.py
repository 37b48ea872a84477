"""The window of a transfer: as many blocks in flight as its link needs to be full, and hardly one more.

Blocks in flight when a link breaks are sent again, so each one too many costs bandwidth. The window follows TCP Vegas,
applied to blocks: a delay between block and acknowledgement that is longer than the shortest one is time spent in
queues, and ``blocks * (1 - shortest / delay)`` estimates how many blocks are queued.

Rules kept here:

* it starts at :data:`FIRST` blocks, and grows by one with each acknowledgement until blocks queue for the first time;
* then it grows or shrinks by one block per round trip, so that one or two blocks queue;
* it shrinks while a block waits longer than :data:`LONGEST_S`;
* a block that times out halves it; an interruption resets it.

Nothing here does I/O; callers pass the time, and enforce the operator's ``window``.
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
        """How many blocks may be in flight."""
        return int(self.size)

    def acknowledged(self, delay_s: float, count: int) -> None:
        """Adapt to ``count`` acknowledged blocks; the last one was sent ``delay_s`` ago, and only once."""
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
        """Adapt to a block that timed out."""
        self.size, self.grows_fast = max(1.0, self.size / 2), False
