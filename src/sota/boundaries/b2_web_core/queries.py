"""Queries of B2, and of the rows of B1 that go on to Core."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sota.boundaries.b2_web_core.messages import RequestStatus
from sota.boundaries.parameters import ListQuery, Parameters, RegexQuery
from sota.boundaries.values import PACKAGE_TEXT, PackageId, UpdateStatus, Vin

OF_STATUS = Meta(description="only those of this status")


class RequestQuery(ListQuery, frozen=True):
    """Which install requests to list."""

    package: Annotated[str, Meta(pattern=PACKAGE_TEXT, description="only requests for this package")] | None = None
    vin: Annotated[Vin, Meta(description="only requests that include this vehicle")] | None = None
    status: Annotated[RequestStatus, OF_STATUS] | None = None

    @property
    def package_id(self) -> PackageId | None:
        """The package, in its two parts."""
        if self.package is None:
            return None
        name, _, version = self.package.partition("/")
        return PackageId(name=name, version=version)


class RequestVehicleQuery(ListQuery, frozen=True):
    """Which updates of an install request to list."""

    status: Annotated[UpdateStatus, OF_STATUS] | None = None


class VehicleQuery(RegexQuery, frozen=True):
    """Which vehicles to list."""

    packages: Annotated[
        bool,
        Meta(description="whether each vehicle comes with its installed packages; a page has 100 at most then"),
    ] = False


class ComponentQuery(RegexQuery, frozen=True):
    """Which components to list: one of the three."""

    id: Annotated[str, Meta(description="part numbers, with commas between them")] | None = None
    name: Annotated[str, Meta(description="the component's name")] | None = None

    @property
    def given(self) -> list[str]:
        """Which of the three are asked for."""
        return [name for name in ("regex", "id", "name") if getattr(self, name) is not None]


class BlacklistQuery(Parameters, frozen=True):
    """How to blacklist a package."""

    stop: Annotated[bool, Meta(description="whether what is under way is aborted too")] = False


class RetireQuery(Parameters, frozen=True):
    """How to retire a vehicle."""

    erase: (
        Annotated[Literal["true"], Meta(description="whether its history loses the VIN too; needs the role `admin`")]
        | None
    ) = None


class DeletePackageQuery(Parameters, frozen=True):
    """Which package to delete."""

    file: (
        Annotated[
            str, Meta(description="the file that the package is known to have; with another one it is another package")
        ]
        | None
    ) = None
