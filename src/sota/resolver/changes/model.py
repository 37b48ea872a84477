"""What one transaction changed in the fleet, as numbers: collected while it runs, written as one log entry.

>>> changes = Changes()
>>> changes.add_vehicle(7)
>>> changes.link(Kind.PACKAGE, 7, 12)
>>> [(step.what.name, step.vehicle, step.thing) for step in decode(changes.encode())]
[('VEHICLE_ADDED', 7, 0), ('LINKED', 7, 12)]

The steps are in the order of the statements: of several steps about one link the last one is valid.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

STEP = struct.Struct("<BBqq")
# One entry stays far below a server's limit of a packet, even if nothing can be compressed.
MAX_STEPS = 400_000
Texts = tuple[str, ...]
"""A thing's texts: a package's name and version, an attribute's name and value, otherwise one text."""


class Kind(IntEnum):
    """What a vehicle can have. The numbers are in logs and snapshots: never change their meaning."""

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
    """Collects a transaction's changes."""

    def __init__(self) -> None:
        self._steps = bytearray()

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add_vehicle(self, vehicle: int) -> None:
        """Note a new vehicle."""
        self._note(What.VEHICLE_ADDED, 0, vehicle, 0)

    def remove_vehicle(self, vehicle: int) -> None:
        """Note that a vehicle is deleted, with everything it has."""
        self._note(What.VEHICLE_GONE, 0, vehicle, 0)

    def link(self, kind: Kind, vehicle: int, thing: int) -> None:
        """Note that a vehicle has a thing, whether or not it had it before."""
        self._note(What.LINKED, kind, vehicle, thing)

    def unlink(self, kind: Kind, vehicle: int, thing: int) -> None:
        """Note that a vehicle no longer has a thing, whether or not it had it before."""
        self._note(What.UNLINKED, kind, vehicle, thing)

    def remove_thing(self, kind: Kind, thing: int) -> None:
        """Note that a thing is deleted: no vehicle has it, and its number may be used for another one."""
        self._note(What.THING_GONE, kind, 0, thing)

    def encode(self) -> bytes:
        """Encode the steps as an entry's content."""
        return zlib.compress(self._steps, 1)

    def parts(self) -> Iterator[Changes]:
        """Split content that is too large for one entry."""
        for start in range(0, len(self._steps), MAX_STEPS * STEP.size):
            part = Changes()
            part._steps = self._steps[start : start + MAX_STEPS * STEP.size]
            yield part

    def _note(self, what: What, kind: int, vehicle: int, thing: int) -> None:
        self._steps += STEP.pack(what, kind, vehicle, thing)


def decode(content: bytes) -> Iterator[Step]:
    """Decode an entry's content.

    Raises:
        ValueError: it is invalid.
    """
    try:
        steps = zlib.decompress(content)
        for what, kind, vehicle, thing in STEP.iter_unpack(steps):
            yield Step(What(what), kind, vehicle, thing)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"no entry of the log of changes: {error}") from None
