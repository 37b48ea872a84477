"""States that follow a history of changes hold what the history ends with, however it is cut into entries."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.resolver.changes.model import Changes, Kind, Step, What, decode
from sota.resolver.changes.store import Position
from sota.resolver.index.fleet import Fleet
from sota.resolver.index.pending import Pending
from sota.resolver.index.share import WHOLE, Share
from tests.support.fleets import contents

pytestmark = pytest.mark.slow

# Row ids of two shards; they come to mean other vehicles again and again, as they may on SQLite.
VEHICLES = st.sampled_from([1, 2, 3, (1 << 20) + 1])
THINGS = st.tuples(st.sampled_from([Kind.PACKAGE, Kind.GROUP]), st.integers(1, 3))


class Model:
    """A small database: the current inventory, and the log of its changes."""

    def __init__(self) -> None:
        self.vins: dict[int, str] = {}
        self.things: dict[tuple[Kind, int], tuple[str, ...]] = {}
        self.links: set[tuple[int, Kind, int]] = set()
        self.names = 0

    def do(self, changes: Changes, step: Step) -> None:
        kind, key = Kind(step.kind or 1), (Kind(step.kind or 1), step.thing)
        self.names += 1
        match step.what:
            case What.VEHICLE_ADDED if step.vehicle not in self.vins:
                self.vins[step.vehicle] = f"V{self.names:016d}"
                changes.add_vehicle(step.vehicle)
            case What.VEHICLE_GONE if step.vehicle in self.vins:
                del self.vins[step.vehicle]
                self.links = {link for link in self.links if link[0] != step.vehicle}
                changes.remove_vehicle(step.vehicle)
            case What.LINKED if step.vehicle in self.vins:
                self.things.setdefault(key, (f"thing {self.names}",))
                self.links.add((step.vehicle, *key))
                changes.link(kind, step.vehicle, step.thing)
            case What.UNLINKED if step.vehicle in self.vins:
                self.links.discard((step.vehicle, *key))
                changes.unlink(kind, step.vehicle, step.thing)
            case What.THING_GONE if key in self.things:
                del self.things[key]
                self.links = {link for link in self.links if link[1:] != key}
                changes.remove_thing(kind, step.thing)

    def contents(self) -> dict[str, frozenset[tuple[Kind, tuple[str, ...]]]]:
        return {
            vin: frozenset((kind, self.things[kind, thing]) for owner, kind, thing in self.links if owner == vehicle)
            for vehicle, vin in self.vins.items()
        }


def steps() -> st.SearchStrategy[Step]:
    return st.builds(
        lambda what, vehicle, thing: Step(what, thing[0], vehicle, thing[1]), st.sampled_from(What), VEHICLES, THINGS
    )


def follow(fleet: Fleet, model: Model, entries: Sequence[bytes], share: Share = WHOLE) -> Fleet:
    pending = Pending()
    for entry in entries:
        pending.take(decode(entry))
    texts = {
        kind: {number: model.things[kind, number] for number in numbers if (kind, number) in model.things}
        for kind, numbers in pending.new_things(fleet).items()
    }
    vins = {vehicle: model.vins[vehicle] for vehicle in pending.new_vehicles() if vehicle in model.vins}
    return pending.apply(fleet, Position(fleet.position.number + len(entries), b""), vins, texts, share)


@given(st.lists(st.lists(st.lists(steps(), max_size=8), max_size=4), max_size=8))
def test_following_ends_with_the_truth(history: list[list[list[Step]]]) -> None:
    model, fleet = Model(), Fleet()
    for batch in history:
        before, known = fleet, contents(fleet)
        entries = []
        for transaction in batch:
            changes = Changes()
            for step in transaction:
                model.do(changes, step)
            entries.append(changes.encode())
        fleet = follow(fleet, model, entries)
        assert contents(fleet) == model.contents()
        assert contents(before) == known, "a state that a query reads is never changed"


@given(st.lists(st.lists(steps(), max_size=8), max_size=8), st.integers(0, 7))
def test_entries_from_before_the_database_was_read_do_no_harm(history: list[list[Step]], read_at: int) -> None:
    model, entries = Model(), list[bytes]()
    read: dict[int, Model] = {}
    for number, transaction in enumerate(history):
        changes = Changes()
        for step in transaction:
            model.do(changes, step)
        entries.append(changes.encode())
        read[number] = model
    # The database was read after some entries, while the log is followed from its beginning.
    fleet = follow(Fleet(), model, entries[: read_at + 1])
    assert contents(follow(fleet, model, entries)) == model.contents()


@given(st.lists(st.lists(steps(), max_size=8), max_size=8))
def test_shares_hold_the_fleet_together_and_each_vehicle_once(history: list[list[Step]]) -> None:
    model, shares = Model(), [Share(number, 2) for number in range(2)]
    fleets = [Fleet() for _ in shares]
    for transaction in history:
        changes = Changes()
        for step in transaction:
            model.do(changes, step)
        fleets = [follow(fleet, model, [changes.encode()], share) for fleet, share in zip(fleets, shares, strict=True)]
    assert all(share.holds(number) for fleet, share in zip(fleets, shares, strict=True) for number in fleet.shards)
    one, other = (contents(fleet) for fleet in fleets)
    assert not one.keys() & other.keys()
    assert one | other == model.contents()


def test_what_is_no_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="no entry of the log"):
        list(decode(b"nonsense"))


def test_much_is_cut_into_entries() -> None:
    changes = Changes()
    for number in range(900_000):
        changes.link(Kind.PACKAGE, number, 7)
    parts = list(changes.parts())
    assert [sum(1 for _ in decode(part.encode())) for part in parts] == [400_000, 400_000, 100_000]
