"""Random cases for the engine: a fleet, then changes of its inventory and another graph before each resolve.

``compare`` plays a case on the engine and on the naive evaluators, and fails where one vehicle differs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from sota.resolver.changes.model import Changes, Kind, Texts, decode
from sota.resolver.changes.store import Position
from sota.resolver.dependencies.model import DependencyGraph, Minimum, Package, Plan
from sota.resolver.index.fleet import Fleet
from sota.resolver.index.pending import Pending
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.language.expression import Expression
from tests.support.fleets import matching, things_of
from tests.support.naive_filters import naive_matching
from tests.support.naive_plans import naive_plan
from tests.unit.resolver.fleets import expressions, vehicles

ROUNDS = 4
"""Resolves of a case: 5,000 cases of the profile ``fuzz`` are 20,000 comparisons."""

COMPARED = "resolves compared with a plain loop"
"""What the summary of a run calls their number (``conftest.py`` here)."""

SPREAD = 400_000
"""Row ids are so far apart that a few vehicles fill several shards."""

SENT_NAMES = st.sampled_from(["ivi", "ivi-map", "libtls"])
SENT_VERSIONS = st.sampled_from(["0.9.0", "1.0.0", "1.9.0", "1.10.0", "2.0.0"])
SENT = st.builds(Package, SENT_NAMES, SENT_VERSIONS)
NEEDS = st.lists(st.builds(Minimum, SENT_NAMES, SENT_VERSIONS), max_size=2, unique_by=lambda need: need.name)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the inventory: vehicle ``number`` gets the things of another, goes (None), or a new one comes."""

    number: int
    vehicle: Vehicle | None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """Changes, what packages need from now on, and then a resolve."""

    changes: list[Change]
    filters: list[Expression]
    wanted: Package
    needs: dict[Package, list[Minimum]]


@dataclass(frozen=True, slots=True)
class Case:
    """Rounds; the first one's changes make the fleet."""

    rounds: list[Round]


def cases() -> st.SearchStrategy[Case]:
    changes = st.one_of(
        st.builds(Change, st.integers(0, 7), vehicles(), st.just(True)),
        st.builds(Change, st.integers(0, 7), vehicles()),
        st.builds(Change, st.integers(0, 7), st.none()),
    )
    first = st.lists(st.builds(Change, st.just(0), vehicles(), st.just(True)), min_size=1, max_size=8)
    filters = st.lists(expressions(), min_size=1, max_size=2)
    graphs = st.dictionaries(SENT, NEEDS, max_size=6)
    rounds = st.tuples(
        st.builds(Round, first, filters, SENT, graphs),
        *[st.builds(Round, st.lists(changes, max_size=3), filters, SENT, graphs) for _ in range(ROUNDS - 1)],
    ).map(list)
    return st.builds(Case, rounds)


@dataclass(slots=True)
class Played:
    """The fleet of a case: as the naive evaluators see it, and as the engine does."""

    vehicles: dict[int, Vehicle] = field(default_factory=dict)
    numbers: dict[tuple[Kind, Texts], int] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)

    def change(self, wanted: list[Change]) -> None:
        """Do some changes as one transaction, and let the engine follow its entry of the log."""
        changes = Changes()
        for one in wanted:
            self._do(one, changes)
        pending = Pending()
        pending.take(decode(changes.encode()))
        texts: dict[Kind, dict[int, Texts]] = {kind: {} for kind in Kind}
        for (kind, text), number in self.numbers.items():
            if number in pending.new_things(self.fleet)[kind]:
                texts[kind][number] = text
        vins = {row: self.vehicles[row].vin for row in pending.new_vehicles() if row in self.vehicles}
        position = Position(self.fleet.position.number + 1, b"")
        self.fleet = pending.apply(self.fleet, position, vins, texts)

    def _do(self, change: Change, changes: Changes) -> None:
        rows = sorted(self.vehicles)
        if change.is_new:
            assert change.vehicle is not None
            if change.vehicle.vin in {vehicle.vin for vehicle in self.vehicles.values()}:
                return
            row = (rows[-1] if rows else 0) + SPREAD
            changes.add_vehicle(row)
            self._give(row, change.vehicle, changes)
        elif rows and change.vehicle is None:
            row = rows[change.number % len(rows)]
            del self.vehicles[row]
            changes.remove_vehicle(row)
        elif rows and change.vehicle is not None:
            row = rows[change.number % len(rows)]
            old, new = self.vehicles[row], change.vehicle
            for kind, text in set(things_of(old)) - set(things_of(new)):
                changes.unlink(kind, row, self._number(kind, text))
            self._give(row, Vehicle(old.vin, new.packages, new.components, new.attributes, new.groups), changes)

    def _give(self, row: int, vehicle: Vehicle, changes: Changes) -> None:
        self.vehicles[row] = vehicle
        for kind, text in things_of(vehicle):
            changes.link(kind, row, self._number(kind, text))

    def _number(self, kind: Kind, text: Texts) -> int:
        return self.numbers.setdefault((kind, text), len(self.numbers) + 1)


def compare(case: Case) -> int:
    """Play a case on both sides; return how many resolves were compared."""
    played = Played()
    for turn in case.rounds:
        played.change(turn.changes)
        needs = {turn.wanted: [], **turn.needs}
        assert engine(played, needs, turn) == plainly(played, needs, turn)
    return len(case.rounds)


def engine(played: Played, needs: dict[Package, list[Minimum]], turn: Round) -> dict[str, Plan]:
    """Resolve as the Resolver does: sets of vehicles, and a plan for each group."""
    graph = DependencyGraph(needs)
    names = sorted(graph.names_of_interest(turn.wanted))
    found = matching(played.fleet, turn.filters, names, graph.alike())
    plans = {packages: graph.plan(turn.wanted, sorted(packages)) for packages in set(found.values())}
    return {vin: plans[packages] for vin, packages in found.items()}


def plainly(played: Played, needs: dict[Package, list[Minimum]], turn: Round) -> dict[str, Plan]:
    """Resolve one vehicle after the other."""
    wanted = naive_matching(turn.filters, played.vehicles.values())
    return {
        vehicle.vin: naive_plan(needs, turn.wanted, [Package(*one) for one in vehicle.packages])
        for vehicle in played.vehicles.values()
        if vehicle.vin in wanted
    }
