"""Folds entries of the log, and applies them to a state of the fleet.

The last step about a link is valid. A deleted vehicle cancels earlier steps about it: its number may be used for
another vehicle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from pyroaring import BitMap

from sota.resolver.changes.model import Kind, Step, Texts, What
from sota.resolver.changes.store import Position
from sota.resolver.index.fleet import Fleet, Shard, place_of
from sota.resolver.index.share import WHOLE, Share
from sota.resolver.index.vin_pattern import VIN_LENGTH

Thing = tuple[Kind, int]


class Pending:
    """The changes of some entries."""

    def __init__(self) -> None:
        self.vehicles: dict[int, bool] = {}
        """Whether a vehicle exists in the end."""
        self.purged: set[int] = set()
        """Vehicles that were deleted, and perhaps created again: they lose everything from before these entries."""
        self.gone: dict[Kind, set[int]] = defaultdict(set)
        """Things that were deleted: no vehicle keeps one from before these entries."""
        self.links: dict[int, dict[Thing, bool]] = {}
        """For each vehicle, whether it has a thing in the end."""

    def __bool__(self) -> bool:
        return bool(self.vehicles or self.gone or self.links)

    def take(self, steps: Iterable[Step]) -> None:
        """Fold steps in order."""
        for what, kind, vehicle, thing in steps:
            if what is What.LINKED or what is What.UNLINKED:
                self.links.setdefault(vehicle, {})[Kind(kind), thing] = what is What.LINKED
            elif what is What.VEHICLE_ADDED:
                self.vehicles[vehicle] = True
            elif what is What.VEHICLE_GONE:
                self.vehicles[vehicle] = False
                self.purged.add(vehicle)
                self.links.pop(vehicle, None)
            else:
                self.gone[Kind(kind)].add(thing)
                for links in self.links.values():
                    links.pop((Kind(kind), thing), None)

    def new_vehicles(self) -> list[int]:
        """Return the vehicles whose VINs are needed."""
        return [vehicle for vehicle, is_there in self.vehicles.items() if is_there]

    def new_things(self, fleet: Fleet) -> dict[Kind, set[int]]:
        """Return the things whose texts are needed."""
        needed: dict[Kind, set[int]] = defaultdict(set)
        for links in self.links.values():
            for (kind, thing), is_there in links.items():
                if is_there and (thing in self.gone[kind] or thing not in fleet.dictionary.texts[kind]):
                    needed[kind].add(thing)
        return needed

    def apply(
        self,
        fleet: Fleet,
        position: Position,
        vins: Mapping[int, str],
        texts: Mapping[Kind, Mapping[int, Texts]],
        share: Share = WHOLE,
    ) -> Fleet:
        """Return the next state. ``vins`` and ``texts`` come from the database; missing ones are deleted."""
        shards = dict(fleet.shards)
        changes = self._by_shard(vins)
        touched = set(changes)
        if any(self.gone.values()):
            touched |= set(shards)
        for number in filter(share.holds, touched):
            shards[number] = self._apply_to(shards.get(number) or Shard(number), changes[number])
        dictionary = fleet.dictionary
        if any(self.gone.values()) or any(texts.values()):
            dictionary = dictionary.changed(self.gone, texts)
        return Fleet(position, dictionary, shards)

    def _by_shard(self, vins: Mapping[int, str]) -> defaultdict[int, _ShardChanges]:
        by_shard: defaultdict[int, _ShardChanges] = defaultdict(_ShardChanges)
        for vehicle in self.purged:
            number, place = place_of(vehicle)
            by_shard[number].purged.append(place)
        for vehicle, is_there in self.vehicles.items():
            number, place = place_of(vehicle)
            if is_there and vehicle in vins:
                by_shard[number].vins[place] = vins[vehicle]
            else:
                by_shard[number].absent.append(place)
        for vehicle, links in self.links.items():
            number, place = place_of(vehicle)
            of_shard = by_shard[number]
            for thing, is_there in links.items():
                (of_shard.linked if is_there else of_shard.unlinked)[thing].append(place)
        return by_shard

    def _apply_to(self, shard: Shard, changes: _ShardChanges) -> Shard:
        links = {kind: dict(of_kind) for kind, of_kind in shard.links.items()}
        for kind, things in self.gone.items():
            for thing in things:
                links[kind].pop(thing, None)
        if changes.purged:
            _purge(links, BitMap(changes.purged))
        for (kind, thing), places in changes.unlinked.items():
            if thing in links[kind]:
                _keep(links[kind], thing, links[kind][thing] - BitMap(places))
        for (kind, thing), places in changes.linked.items():
            links[kind][thing] = links[kind].get(thing, BitMap()) | BitMap(places)
        vehicles = shard.vehicles - BitMap(changes.absent) | BitMap(changes.vins)
        vins = shard.vins
        if changes.vins:
            content = "".join(changes.vins.values()).encode("ascii")
            if len(content) != VIN_LENGTH * len(changes.vins):
                raise ValueError(f"a VIN in the database has not {VIN_LENGTH} characters")
            vins = vins.with_vins(np.fromiter(changes.vins, dtype=np.uint32), content)
        return Shard(shard.number, vehicles, vins, links)


class _ShardChanges:
    """The changes of one shard, by place."""

    def __init__(self) -> None:
        self.purged: list[int] = []
        self.absent: list[int] = []
        self.vins: dict[int, str] = {}
        self.linked: defaultdict[Thing, list[int]] = defaultdict(list)
        self.unlinked: defaultdict[Thing, list[int]] = defaultdict(list)


def _purge(links: Mapping[Kind, dict[int, BitMap]], places: BitMap) -> None:
    for of_kind in links.values():
        for thing in [thing for thing, owners in of_kind.items() if owners.intersect(places)]:
            _keep(of_kind, thing, of_kind[thing] - places)


def _keep(links: dict[int, BitMap], thing: int, owners: BitMap) -> None:
    if owners:
        links[thing] = owners
    else:
        del links[thing]
