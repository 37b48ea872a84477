"""The VINs of a shard: 17 bytes a place in one buffer, so that RE2 scans all of them without copying."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from sota.resolver.index.vin_pattern import VIN_LENGTH, fixed_places
from sota.resolver.language.regex import Regex, compile_regex

SHARD_BITS = 20
SHARD_SIZE = 1 << SHARD_BITS
# Copying candidates takes a fifth of matching them: if most places are candidates, all are matched.
DENSE = 0.8

Places = npt.NDArray[np.uint32]
_OFFSETS = np.arange(0, VIN_LENGTH * (SHARD_SIZE + 1), VIN_LENGTH, dtype=np.int32)


def places_of(bitmap: BitMap) -> Places:
    """Return a bitmap's places in ascending order."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def bitmap_of(places: npt.NDArray[Any]) -> BitMap:
    """Return a bitmap of places, in any order. (Any: unsigned numbers of any width.)"""
    return BitMap(array("I", places.astype(np.uint32, copy=False).tobytes()))


class Vins:
    """A column of VINs by place. One never written is zero, and takes no memory until its page is written."""

    def __init__(self, rows: npt.NDArray[np.uint8] | None = None) -> None:
        self.rows = np.zeros((SHARD_SIZE, VIN_LENGTH), dtype=np.uint8) if rows is None else rows

    def with_vins(self, places: Places, vins: bytes) -> Vins:
        """Return the column with these VINs written: the same object if no query can be reading those places.

        A place of another vehicle may still be read by an earlier query: then the result is a new column.
        """
        new = np.frombuffer(vins, dtype=np.uint8).reshape(-1, VIN_LENGTH)
        old = self.rows[places]
        is_free = ~old.any(axis=1)
        column = self if bool((is_free | (old == new).all(axis=1)).all()) else Vins(self.rows.copy())
        column.rows[places] = new
        return column

    def matching(self, regex: Regex, within: BitMap) -> BitMap:
        """Return the places of ``within`` whose VIN matches."""
        if not within:
            return within
        looked_at = _looked_at(regex.pattern)
        if looked_at is not None:
            return bitmap_of(self._allowed(looked_at, places_of(within)))
        used = within.max() + 1
        if len(within) >= DENSE * used:
            return bitmap_of(np.flatnonzero(_find(regex, self.rows[:used]))) & within
        places = places_of(within)
        return bitmap_of(places[_find(regex, self.rows.take(places, axis=0))])

    def _allowed(self, looked_at: Sequence[tuple[int, npt.NDArray[np.bool_]]], places: Places) -> Places:
        """Return the places whose VIN has an allowed character at each tested position."""
        for character, allowed in looked_at:
            places = places[allowed[self.rows[places, character]]]
        return places

    def texts(self, places: Places) -> list[str]:
        """Return the VINs at some places."""
        text = self.rows.take(places, axis=0).tobytes().decode("ascii")
        return [text[start : start + VIN_LENGTH] for start in range(0, len(text), VIN_LENGTH)]


@lru_cache(maxsize=1024)
def _looked_at(pattern: str) -> tuple[tuple[int, npt.NDArray[np.bool_]], ...] | None:
    """Return the tested positions with their allowed characters, the most selective first."""
    fixed = fixed_places(pattern)
    if fixed is None:
        return None
    tables = []
    for place, characters in sorted(fixed.items(), key=lambda item: len(item[1])):
        allowed = np.zeros(256, dtype=np.bool_)
        allowed[[ord(character) for character in characters]] = True
        tables.append((place, allowed))
    return tuple(tables)


def _find(regex: Regex, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return for each row whether RE2 finds the expression in it."""
    # Imported here: it takes a tenth of a second, and the start does not need it (``warm_up``).
    import pyarrow as pa
    import pyarrow.compute as pc

    count = len(rows)
    vins = pa.StringArray.from_buffers(count, pa.py_buffer(_OFFSETS[: count + 1]), pa.py_buffer(rows))
    found = pc.match_substring_regex(vins, regex.pattern).buffers()[1]
    return np.unpackbits(np.frombuffer(found, dtype=np.uint8), count=count, bitorder="little").view(np.bool_)


def warm_up() -> None:
    """Do in advance what the first expression would have to wait for."""
    _find(compile_regex("A"), np.zeros((1, VIN_LENGTH), dtype=np.uint8))
