"""Facts folded: many lines about some vehicles become what must change for each of them.

Rules kept here:

* facts are taken in the order in which they come;
* a fact about a VIN that nobody registered creates nothing and is refused, except that nobody needs to retire it;
* what is said twice is done once; what is taken back is not done at all.

Nothing here does I/O: callers bring what stands in the database, and write the changes.
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
    """What changes among the things of one kind that a vehicle has; ``exactly`` says that all others go."""

    added: set[Thing] = field(default_factory=set)
    removed: set[Thing] = field(default_factory=set)
    exactly: bool = False

    def add(self, thing: Thing) -> None:
        """The vehicle has it."""
        self.removed.discard(thing)
        self.added.add(thing)

    def remove(self, thing: Thing) -> None:
        """The vehicle has it no more."""
        self.added.discard(thing)
        self.removed.add(thing)

    def replace(self, things: Iterable[Thing]) -> None:
        """The vehicle has these and no others."""
        self.added, self.removed, self.exactly = set(things), set(), True


@dataclass(slots=True)
class VehicleChange:
    """What changes for one vehicle. ``row_id`` is its row before all this, or None."""

    vin: str
    row_id: int | None
    exists: bool
    is_retired: bool = False
    packages: Belongings[Package] = field(default_factory=Belongings)
    components: Belongings[str] = field(default_factory=Belongings)

    @property
    def is_new(self) -> bool:
        """Whether a row must be made: the vehicle is new, or was retired and registered again."""
        return self.exists and (self.row_id is None or self.is_retired)

    def take(self, fact: VehicleFact) -> str | None:
        """Take one fact in; gives the reason where it cannot be."""
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
    """Read a package of the wire."""
    return Package(package.name, package.version)
