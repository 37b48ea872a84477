"""Bodies of B3: what the Web Server asks of the External Resolver, and what the Resolver answers."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import (
    Description,
    FilterName,
    FilterText,
    Id,
    Message,
    PackageId,
    PackageName,
    PartNumber,
    Request,
    ShortText,
    Version,
    Vin,
)


class PackageToResolve(Request, frozen=True):
    """A package as the Resolver keeps it: with its dependencies, each the least version that will do."""

    name: PackageName
    version: Version
    description: Description = ""
    vendor: ShortText = ""
    dependencies: Annotated[list[PackageId], Meta(max_length=200)] = msgspec.field(default_factory=list)


class VehicleToResolve(Request, frozen=True):
    """A vehicle for the Resolver's register."""

    vin: Vin


class ComponentToResolve(Request, frozen=True):
    """A component for the Resolver's register."""

    part_number: PartNumber
    description: Description = ""
    name: ShortText | None = None


class Filter(Request, frozen=True):
    """A filter: its unique name and its expression."""

    name: FilterName
    expression: FilterText


class FilterChange(Request, frozen=True):
    """A filter's new expression."""

    expression: FilterText


class Association(Request, frozen=True):
    """The filter to associate with the package that the path names."""

    filter: FilterName


class ResolveRequest(Request, frozen=True):
    """The package whose vehicles are wanted.

    Under a ``resolution_id``, which the caller makes, what is decided is frozen: see
    ``FactsClient.resolve`` of B5 for what that promises.
    """

    package: PackageId
    resolution_id: Id | None = None


class Resolved(Message, frozen=True):
    """A vehicle that passed all filters, and what it must get: prerequisites first, the package itself last."""

    vin: Vin
    packages: list[PackageId]
