"""Bodies of B5: Core asks which vehicles a package is for, and tells the Resolver what it learnt about them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from sota.boundaries.values import Description, ForeignText, InstalledPackage, Message, PartNumber, Vin

FactId = Annotated[str, Meta(min_length=1, max_length=100)]


class FactBase(Message, frozen=True, tag_field="fact"):
    """One fact. The Resolver is idempotent on ``id``: a fact that comes again changes nothing."""

    id: FactId


class VehicleFact(FactBase, frozen=True):
    """A fact about one vehicle."""

    vin: Vin


class VehicleRegistered(VehicleFact, frozen=True, tag="vehicle_registered"):
    """There is a vehicle of this VIN."""


class VehicleRetired(VehicleFact, frozen=True, tag="vehicle_retired"):
    """There is no vehicle of this VIN any more. ``erased``: the VIN goes from recorded resolutions too."""

    erased: bool = False


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


class ComponentAdded(VehicleFact, frozen=True, tag="component_added"):
    """The vehicle has the component."""

    part_number: PartNumber


class ComponentRemoved(VehicleFact, frozen=True, tag="component_removed"):
    """The vehicle no longer has the component."""

    part_number: PartNumber


class PackageAdded(VehicleFact, frozen=True, tag="package_added"):
    """The vehicle has the package installed; another version of it is a fact of its own."""

    package: InstalledPackage


class PackageRemoved(VehicleFact, frozen=True, tag="package_removed"):
    """The vehicle no longer has the package installed."""

    package: InstalledPackage


class PackagesReplaced(VehicleFact, frozen=True, tag="packages_replaced"):
    """The vehicle's packages are exactly these, for example because it told them all."""

    packages: Annotated[list[InstalledPackage], Meta(max_length=10_000)]


class ComponentsReplaced(VehicleFact, frozen=True, tag="components_replaced"):
    """The vehicle's components are exactly these."""

    components: Annotated[list[PartNumber], Meta(max_length=1000)]


class VehicleProvisioned(VehicleFact, frozen=True, tag="vehicle_provisioned"):
    """There is a vehicle of this VIN, and its components and packages are exactly these."""

    components: Annotated[list[PartNumber], Meta(max_length=1000)]
    packages: Annotated[list[InstalledPackage], Meta(max_length=10_000)]


Fact = (
    VehicleRegistered
    | VehicleProvisioned
    | VehicleRetired
    | ComponentRegistered
    | ComponentRetired
    | PackageRegistered
    | PackageRetired
    | ComponentAdded
    | ComponentRemoved
    | PackageAdded
    | PackageRemoved
    | PackagesReplaced
    | ComponentsReplaced
)


class FactStatus(StrEnum):
    """What became of a fact. ``refused`` says that it will be so again: sending it a second time is of no use."""

    RECORDED = "recorded"
    REPEATED = "repeated"
    REFUSED = "refused"


class FactResult(Message, frozen=True):
    """The answer to one line, in the order of the lines; ``id`` is None where the line had none that can be read."""

    id: str | None
    status: FactStatus
    detail: str | None = None
