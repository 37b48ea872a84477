"""Bodies of B5: Core asks which vehicles a package is for, and tells the Resolver what it learnt about them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sota.boundaries.b3_web_resolver.messages import Filter, Resolved, ResolveRequest
from sota.boundaries.values import Description, ForeignText, InstalledPackage, Message, PartNumber, Vin

__all__ = [
    "ComponentAdded",
    "ComponentRegistered",
    "ComponentRemoved",
    "ComponentRetired",
    "Fact",
    "FactsRecorded",
    "Filter",
    "PackageAdded",
    "PackageRegistered",
    "PackageRemoved",
    "PackageRetired",
    "ResolveRequest",
    "Resolved",
    "VehicleRegistered",
    "VehicleRetired",
]

FactId = Annotated[str, Meta(min_length=1, max_length=100)]


class FactBase(Message, frozen=True, tag_field="fact"):
    """One fact. The Resolver is idempotent on ``id``: a fact that comes again changes nothing."""

    id: FactId


class VehicleRegistered(FactBase, frozen=True, tag="vehicle_registered"):
    """There is a vehicle of this VIN."""

    vin: Vin


class VehicleRetired(FactBase, frozen=True, tag="vehicle_retired"):
    """There is no vehicle of this VIN any more."""

    vin: Vin


class ComponentRegistered(FactBase, frozen=True, tag="component_registered"):
    """There is a component of this part number."""

    part_number: PartNumber
    description: Description = ""


class ComponentRetired(FactBase, frozen=True, tag="component_retired"):
    """There is no component of this part number any more."""

    part_number: PartNumber


class PackageRegistered(FactBase, frozen=True, tag="package_registered"):
    """There is a package of this name and version; it may be a foreign one."""

    name: ForeignText
    version: ForeignText


class PackageRetired(FactBase, frozen=True, tag="package_retired"):
    """There is no package of this name and version any more."""

    name: ForeignText
    version: ForeignText


class ComponentAdded(FactBase, frozen=True, tag="component_added"):
    """The vehicle has the component."""

    vin: Vin
    part_number: PartNumber


class ComponentRemoved(FactBase, frozen=True, tag="component_removed"):
    """The vehicle no longer has the component."""

    vin: Vin
    part_number: PartNumber


class PackageAdded(FactBase, frozen=True, tag="package_added"):
    """The vehicle has the package installed; another version of it is a fact of its own."""

    vin: Vin
    package: InstalledPackage


class PackageRemoved(FactBase, frozen=True, tag="package_removed"):
    """The vehicle no longer has the package installed."""

    vin: Vin
    package: InstalledPackage


Fact = (
    VehicleRegistered
    | VehicleRetired
    | ComponentRegistered
    | ComponentRetired
    | PackageRegistered
    | PackageRetired
    | ComponentAdded
    | ComponentRemoved
    | PackageAdded
    | PackageRemoved
)


class FactsRecorded(Message, frozen=True):
    """How many facts are committed, and how many of the lines had come before."""

    recorded: int
    repeated: int
