"""The result of one shard: which vehicles match a plan, and their groups by packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from sota.resolver.changes.model import Kind
from sota.resolver.dependencies.model import Package
from sota.resolver.index.fleet import Shard
from sota.resolver.index.planner import Every, Fixed, Having, Plan, Some, VinTest, Without
from sota.resolver.index.vins import Places, places_of
from sota.resolver.index.workers import Steps

# Joining bitmaps blocks other threads: a millisecond or two at a time.
JOINED_AT_ONCE = 128
KEY_BITS = 62


@dataclass(frozen=True, slots=True)
class Group:
    """Vehicles of a shard, by place, with the same relevant packages."""

    places: Places
    packages: frozenset[Package]


def selecting(plan: Plan, shard: Shard, within: BitMap) -> Steps[BitMap]:
    """Return the places of ``within`` that match the plan, with a pause for each test."""
    match plan:
        case Fixed(value):
            return within if value else BitMap()
        case Having(kind, things):
            yield
            return within & join(shard, kind, things)
        case VinTest(vin):
            yield
            return shard.vins.matching(vin, within)
        case Without(part):
            return within - (yield from selecting(part, shard, within))
        case Every(parts):
            for part in parts:
                if not within:
                    break
                within = yield from selecting(part, shard, within)
            return within
        case Some(parts):
            found = BitMap()
            for part in parts:
                found = found | (yield from selecting(part, shard, within - found))
            return found


def join(shard: Shard, kind: Kind, things: Sequence[int]) -> BitMap:
    """Return all vehicles that have one of the things."""
    links = shard.links[kind]
    owners = [links[thing] for thing in things if thing in links]
    if len(owners) == 1:
        return owners[0]
    joined = BitMap()
    for start in range(0, len(owners), JOINED_AT_ONCE):
        joined |= BitMap.union(*owners[start : start + JOINED_AT_ONCE])
    return joined


def partitioning(shard: Shard, matched: BitMap, kinds: Mapping[Package, Sequence[int]]) -> Steps[list[Group]]:
    """Group vehicles by which of the packages they have; a package is present if one of its numbers is installed.

    Each vehicle gets a number whose bits say which packages it has; vehicles with the same number are a group. There
    is a pause for each package.
    """
    places = places_of(matched)
    keys = np.zeros(len(places), dtype=np.int64)
    asked: list[Package] = []
    columns: list[npt.NDArray[np.int64]] = []
    bits = 0
    for package, numbers in kinds.items():
        yield
        owners = matched & join(shard, Kind.PACKAGE, numbers)
        if not owners:
            continue
        indices = np.searchsorted(places, places_of(owners))
        asked.append(package)
        columns.append(indices)
        if bits == KEY_BITS:  # the number is full: renumber the groups so far, which frees bits
            keys = np.unique(keys, return_inverse=True)[1].astype(np.int64)
            bits = int(keys.max()).bit_length()
        keys[indices] |= np.int64(1) << np.int64(bits)
        bits += 1
    return list(_groups(places, keys, asked, columns))


def _groups(
    places: Places, keys: npt.NDArray[np.int64], asked: Sequence[Package], columns: Sequence[npt.NDArray[np.int64]]
) -> Iterator[Group]:
    if not len(places):
        return
    _distinct, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if len(firsts) == 1:
        parts = [places]
    else:
        order = np.argsort(inverse, kind="stable")
        parts = np.split(places[order], np.cumsum(np.bincount(inverse))[:-1])
    has: list[list[Package]] = [[] for _ in parts]
    for package, indices in zip(asked, columns, strict=True):
        # One vehicle represents its group.
        at = np.minimum(np.searchsorted(indices, firsts), len(indices) - 1)
        for group in np.flatnonzero(indices[at] == firsts).tolist():
            has[group].append(package)
    for part, packages in zip(parts, has, strict=True):
        yield Group(part, frozenset(packages))
