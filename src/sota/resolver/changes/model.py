"""What one transaction changed of the fleet, as numbers: collected while it works, written as one entry of the log.

>>> changes = Changes()
>>> changes.add_vehicle(7)
>>> changes.link(Kind.PACKAGE, 7, 12)
>>> [(step.what.name, step.vehicle, step.thing) for step in decode(changes.encode())]
[('VEHICLE_ADDED', 7, 0), ('LINKED', 7, 12)]

The order of the steps is that of the statements: when they are repeated, the last word about a link is the truth.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

STEP = struct.Struct("<BBqq")
# One entry stays far below what a server takes as one packet, also where nothing can be compressed.
MAX_STEPS = 400_000


class Kind(IntEnum):
    """What a vehicle can have. A number stands in logs and snapshots: it keeps its meaning for ever."""

    PACKAGE = 1
    COMPONENT = 2
    ATTRIBUTE = 3
    GROUP = 4


class What(IntEnum):
    """What a step does."""

    VEHICLE_ADDED = 1
    VEHICLE_GONE = 2
    LINKED = 3
    UNLINKED = 4
    THING_GONE = 5


class Step(NamedTuple):
    """One step: ``vehicle`` and ``thing`` are row ids, 0 where a step has none; so is ``kind``."""

    what: What
    kind: int
    vehicle: int
    thing: int


class Changes:
    """Collects what a transaction changes."""

    def __init__(self) -> None:
        self._steps = bytearray()

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add_vehicle(self, vehicle: int) -> None:
        """Note a vehicle that was not there."""
        self._note(What.VEHICLE_ADDED, 0, vehicle, 0)

    def remove_vehicle(self, vehicle: int) -> None:
        """Note a vehicle that is deleted, with all that it has."""
        self._note(What.VEHICLE_GONE, 0, vehicle, 0)

    def link(self, kind: Kind, vehicle: int, thing: int) -> None:
        """Note that a vehicle has a thing, also where it may have had it before."""
        self._note(What.LINKED, kind, vehicle, thing)

    def unlink(self, kind: Kind, vehicle: int, thing: int) -> None:
        """Note that a vehicle has a thing no more, also where it may not have had it."""
        self._note(What.UNLINKED, kind, vehicle, thing)

    def remove_thing(self, kind: Kind, thing: int) -> None:
        """Note that a thing is deleted: no vehicle has it any more, and its number may come to mean another one."""
        self._note(What.THING_GONE, kind, 0, thing)

    def encode(self) -> bytes:
        """Write the steps as the content of an entry."""
        return zlib.compress(self._steps, 1)

    def parts(self) -> Iterator[Changes]:
        """Cut what is too much for one entry."""
        for start in range(0, len(self._steps), MAX_STEPS * STEP.size):
            part = Changes()
            part._steps = self._steps[start : start + MAX_STEPS * STEP.size]
            yield part

    def _note(self, what: What, kind: int, vehicle: int, thing: int) -> None:
        self._steps += STEP.pack(what, kind, vehicle, thing)


def decode(content: bytes) -> Iterator[Step]:
    """Read the content of an entry.

    Raises:
        ValueError: it is none.
    """
    try:
        steps = zlib.decompress(content)
        for what, kind, vehicle, thing in STEP.iter_unpack(steps):
            yield Step(What(what), kind, vehicle, thing)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"no entry of the log of changes: {error}") from None
