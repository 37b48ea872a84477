"""Which part of the fleet a process holds: shards are distributed by number, round robin.

>>> [shard for shard in range(6) if Share(1, 3).holds(shard)]
[1, 4]
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = "resolver-index"


@dataclass(frozen=True, slots=True)
class Share:
    """Part ``number``, from 0, of a fleet that is distributed to ``of`` processes."""

    number: int = 0
    of: int = 1

    def holds(self, shard: int) -> bool:
        """Return whether a shard belongs to this part."""
        return shard % self.of == self.number

    @property
    def folder(self) -> str:
        """The name of the snapshot's folder: a snapshot of another share is of no use."""
        return FOLDER if self.of == 1 else f"{FOLDER}-{self.number + 1}-of-{self.of}"


WHOLE = Share()


def remove_others(data: Path, count: int) -> None:
    """Remove snapshots of shares that no longer exist: they would stay, and they contain VINs."""
    kept = {Share(number, count).folder for number in range(count)}
    for folder in data.glob(f"{FOLDER}*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
