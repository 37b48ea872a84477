"""Folds facts: many lines about some vehicles become the changes of each vehicle.

Rules kept here:

* facts are applied in the order in which they arrive;
* a fact about an unregistered VIN creates nothing and is refused, except that there is no need to retire it;
* a repeated change is done once; a change that is undone later is not done at all.

No I/O here: callers bring the database's state, and write the changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sota.boundaries.b5_core_resolver import messages
from sota.boundaries.values import InstalledPackage
from sota.resolver.changes.model import Kind, Texts
from sota.resolver.dependencies.model import Package

RegisteredFact = messages.ComponentRegistered | messages.PackageRegistered
RetiredFact = messages.ComponentRetired | messages.PackageRetired
VehicleFact = (
    messages.VehicleRegistered
    | messages.VehicleProvisioned
    | messages.VehicleRetired
    | messages.ComponentAdded
    | messages.ComponentRemoved
    | messages.PackageAdded
    | messages.PackageRemoved
    | messages.PackagesReplaced
    | messages.ComponentsReplaced
)


@dataclass(slots=True)
class Belongings:
    """Changes among a vehicle's things of one kind; ``exactly`` says that all others are removed."""

    added: set[Texts] = field(default_factory=set)
    removed: set[Texts] = field(default_factory=set)
    exactly: bool = False

    def add(self, thing: Texts) -> None:
        """Note that the vehicle has it."""
        self.removed.discard(thing)
        self.added.add(thing)

    def remove(self, thing: Texts) -> None:
        """Note that the vehicle no longer has it."""
        self.added.discard(thing)
        self.removed.add(thing)

    def replace(self, things: Iterable[Texts]) -> None:
        """Note that the vehicle has these and no others."""
        self.added, self.removed, self.exactly = set(things), set(), True


def _nothing() -> dict[Kind, Belongings]:
    return {Kind.PACKAGE: Belongings(), Kind.COMPONENT: Belongings()}


@dataclass(slots=True)
class VehicleChange:
    """Changes of one vehicle. ``row_id`` is its row before them, or None."""

    vin: str
    row_id: int | None
    exists: bool
    is_retired: bool = False
    things: dict[Kind, Belongings] = field(default_factory=_nothing)

    @property
    def is_new(self) -> bool:
        """Whether a row must be created: the vehicle is new, or was retired and registered again."""
        return self.exists and (self.row_id is None or self.is_retired)

    def take(self, fact: VehicleFact) -> str | None:
        """Apply one fact; return the reason if it is refused."""
        match fact:
            case messages.VehicleRegistered():
                self.exists = True
            case messages.VehicleProvisioned(components=components, packages=packages):
                self.exists = True
                self.things[Kind.COMPONENT].replace((number,) for number in components)
                self.things[Kind.PACKAGE].replace(to_package(package) for package in packages)
            case messages.VehicleRetired():
                self.exists, self.is_retired = False, self.row_id is not None
                self.things = _nothing()
            case _ if not self.exists:
                return f"The VIN {self.vin} is not registered."
            case _:
                self._take_things(fact)
        return None

    def _take_things(self, fact: VehicleFact) -> None:
        packages, components = self.things[Kind.PACKAGE], self.things[Kind.COMPONENT]
        match fact:
            case messages.PackageAdded(package=package):
                packages.add(to_package(package))
            case messages.PackageRemoved(package=package):
                packages.remove(to_package(package))
            case messages.PackagesReplaced(packages=given):
                packages.replace(to_package(package) for package in given)
            case messages.ComponentAdded(part_number=part_number):
                components.add((part_number,))
            case messages.ComponentRemoved(part_number=part_number):
                components.remove((part_number,))
            case messages.ComponentsReplaced(components=numbers):
                components.replace((number,) for number in numbers)


def to_package(package: InstalledPackage) -> Package:
    """Decode a package of a message."""
    return Package(package.name, package.version)
