"""One state of the fleet. It is immutable: the next state shares its unchanged parts.

There is one harmless exception: a new vehicle's VIN is written into the shared column, at a place that no older state
reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from sota.resolver.changes.model import Kind
from sota.resolver.changes.store import Position
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.vin_pattern import VIN_LENGTH
from sota.resolver.index.vins import SHARD_BITS, SHARD_SIZE, Vins, bitmap_of

NOWHERE = Position(-1, b"")


@dataclass(frozen=True, slots=True)
class Shard:
    """Vehicles whose row ids have the same upper bits. The lower 20 bits are a vehicle's place in each bitmap.

    A bitmap of ``links`` may contain places that are not in ``vehicles``, of a vehicle that is being deleted.
    """

    number: int
    vehicles: BitMap = field(default_factory=BitMap)
    vins: Vins = field(default_factory=Vins)
    links: Mapping[Kind, Mapping[int, BitMap]] = field(default_factory=lambda: {kind: {} for kind in Kind})


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that filters test, as it was after one entry of the log of changes."""

    position: Position = NOWHERE
    dictionary: Dictionary = field(default_factory=lambda: Dictionary({}))
    shards: Mapping[int, Shard] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many vehicles there are."""
        return sum(len(shard.vehicles) for shard in self.shards.values())


def place_of(vehicle: int) -> tuple[int, int]:
    """Return the shard and the place of a vehicle's row id."""
    return vehicle >> SHARD_BITS, vehicle & (SHARD_SIZE - 1)


class ShardBuilder:
    """Builds a shard from arrays of places, part by part."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._vehicles = BitMap()
        self._vins = Vins()
        self._links: dict[Kind, dict[int, BitMap]] = {kind: {} for kind in Kind}

    def add_vehicles(self, places: npt.NDArray[np.int64], vins: npt.NDArray[np.uint8]) -> None:
        """Add vehicles; ``vins`` has a row of 17 bytes for each."""
        self._vins.rows[places, :] = vins.reshape(-1, VIN_LENGTH)
        self._vehicles |= bitmap_of(places)

    def add_links(self, kind: Kind, places: npt.NDArray[np.int64], things: npt.NDArray[np.int64]) -> None:
        """Note that the vehicle at ``places[i]`` has ``things[i]``."""
        if not len(things):
            return
        keys = np.sort(things << SHARD_BITS | places)
        owners = keys & (SHARD_SIZE - 1)
        numbers = keys >> SHARD_BITS
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        links = self._links[kind]
        ends = [*starts[1:].tolist(), len(keys)]
        for thing, start, end in zip(numbers[starts].tolist(), starts.tolist(), ends, strict=True):
            some = bitmap_of(owners[start:end])
            links[thing] = links[thing] | some if thing in links else some

    def build(self) -> Shard:
        """Return the shard."""
        self._vehicles.run_optimize()
        for links in self._links.values():
            for owners in links.values():
                owners.run_optimize()
                owners.shrink_to_fit()
        return Shard(self.number, self._vehicles, self._vins, self._links)
