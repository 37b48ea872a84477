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
from typing import Generic, TypeVar

from sota.boundaries.b5_core_resolver import messages
from sota.boundaries.values import InstalledPackage
from sota.resolver.dependencies.model import Package

Thing = TypeVar("Thing")

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
class Belongings(Generic[Thing]):
    """Changes among a vehicle's things of one kind; ``exactly`` says that all others are removed."""

    added: set[Thing] = field(default_factory=set)
    removed: set[Thing] = field(default_factory=set)
    exactly: bool = False

    def add(self, thing: Thing) -> None:
        """Note that the vehicle has it."""
        self.removed.discard(thing)
        self.added.add(thing)

    def remove(self, thing: Thing) -> None:
        """Note that the vehicle no longer has it."""
        self.added.discard(thing)
        self.removed.add(thing)

    def replace(self, things: Iterable[Thing]) -> None:
        """Note that the vehicle has these and no others."""
        self.added, self.removed, self.exactly = set(things), set(), True


@dataclass(slots=True)
class VehicleChange:
    """Changes of one vehicle. ``row_id`` is its row before them, or None."""

    vin: str
    row_id: int | None
    exists: bool
    is_retired: bool = False
    packages: Belongings[Package] = field(default_factory=Belongings)
    components: Belongings[str] = field(default_factory=Belongings)

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
                self.components.replace(components)
                self.packages.replace(to_package(package) for package in packages)
            case messages.VehicleRetired():
                self.exists, self.is_retired = False, self.row_id is not None
                self.packages, self.components = Belongings(), Belongings()
            case _ if not self.exists:
                return f"The VIN {self.vin} is not registered."
            case messages.PackageAdded() | messages.PackageRemoved() | messages.PackagesReplaced():
                self._take_packages(fact)
            case _:
                self._take_components(fact)
        return None

    def _take_packages(self, fact: messages.PackageAdded | messages.PackageRemoved | messages.PackagesReplaced) -> None:
        match fact:
            case messages.PackageAdded(package=package):
                self.packages.add(to_package(package))
            case messages.PackageRemoved(package=package):
                self.packages.remove(to_package(package))
            case messages.PackagesReplaced(packages=packages):
                self.packages.replace(to_package(package) for package in packages)

    def _take_components(
        self, fact: messages.ComponentAdded | messages.ComponentRemoved | messages.ComponentsReplaced
    ) -> None:
        match fact:
            case messages.ComponentAdded(part_number=part_number):
                self.components.add(part_number)
            case messages.ComponentRemoved(part_number=part_number):
                self.components.remove(part_number)
            case messages.ComponentsReplaced(components=components):
                self.components.replace(components)


def to_package(package: InstalledPackage) -> Package:
    """Decode a package of a message."""
    return Package(package.name, package.version)
