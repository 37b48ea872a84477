"""A registration: one object that must be in both Core's and the Resolver's register, or in neither
(docs/specification.md, ruling 8). The removal of a package or a vehicle from both works the same way.

Its states::

    open ──the first took it──▶ half ──the second took it──▶ done
      └──the first refused it──▶ refused

The id is the idempotency key for both, so each step may be repeated after an answer was lost. A registration that is
``open`` or ``half`` is running: a second request for the same object joins it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from sota.boundaries.b2_web_core.messages import Component, NewPackage, NewVehicle
from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, PackageToResolve, VehicleToResolve
from sota.boundaries.values import PackageId
from sota.kit.errors import SotaError

# Core keeps answers by key for a day. After that "exists" may be the answer to our own first attempt, so it counts
# as success.
KEY_IS_KNOWN_FOR = timedelta(hours=20)
RETRY_AFTER_REFUSAL = timedelta(minutes=10)


class PackageToRemove(msgspec.Struct, frozen=True):
    """A package to remove from Core's register, if its file is still this one."""

    id: PackageId
    uri: str


class VehicleToRetire(msgspec.Struct, frozen=True):
    """A vehicle to retire or erase."""

    vin: str
    erase: bool


class VehicleToForget(msgspec.Struct, frozen=True):
    """A vehicle to remove from the Resolver's register."""

    vin: str


CoreBody = NewVehicle | NewPackage | Component | PackageToRemove | VehicleToRetire
ResolverBody = VehicleToResolve | PackageToResolve | ComponentToResolve | PackageId | VehicleToForget


class Kind(StrEnum):
    """What kind of object is registered or removed."""

    VEHICLE = "vehicle"
    PACKAGE = "package"
    COMPONENT = "component"
    REMOVAL = "removal"
    RETIREMENT = "retirement"

    @property
    def done_already(self) -> str:
        """The code of the answer that nothing is left to do: 'already exists', or 'not found' for a removal."""
        special = {Kind.VEHICLE: "vin_exists", Kind.REMOVAL: "not_found", Kind.RETIREMENT: "not_found"}
        return special.get(self, f"{self}_exists")

    @property
    def in_the_way(self) -> str:
        """The code of the answer that another change of this object is running."""
        special = {Kind.REMOVAL: "package_in_use", Kind.RETIREMENT: "vin_busy"}
        return special.get(self, self.done_already)


BODIES: dict[Kind, tuple[type[CoreBody], type[ResolverBody]]] = {
    Kind.VEHICLE: (NewVehicle, VehicleToResolve),
    Kind.PACKAGE: (NewPackage, PackageToResolve),
    Kind.COMPONENT: (Component, ComponentToResolve),
    Kind.REMOVAL: (PackageToRemove, PackageId),
    Kind.RETIREMENT: (VehicleToRetire, VehicleToForget),
}


class RegistrationState(StrEnum):
    """The progress of a registration."""

    OPEN = "open"
    HALF = "half"
    DONE = "done"
    REFUSED = "refused"


class Refusal(msgspec.Struct, frozen=True):
    """The first register's refusal, kept for every caller that joined."""

    code: str
    detail: str
    status: int
    title: str


@dataclass(frozen=True, slots=True)
class NewRegistration:
    """What to register. ``file_key`` is a package's file: ``Registration.gives_file_up`` says when to delete it."""

    kind: Kind
    object: str
    core: CoreBody
    resolver: ResolverBody
    file_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """What distinguishes two registrations of one object; the location of the file is not part of it."""
        core = msgspec.structs.replace(self.core, uri="") if isinstance(self.core, NewPackage) else self.core
        content = msgspec.json.encode([core, self.resolver], order="deterministic")
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Registration:
    """A stored registration."""

    id: UUID
    kind: Kind
    object: str
    fingerprint: str
    core: CoreBody
    resolver: ResolverBody
    file_key: str | None
    state: RegistrationState
    attempts: int
    refusal: Refusal | None
    created_at: datetime

    @property
    def resolver_first(self) -> bool:
        """Whether the Resolver is asked first: only it can refuse a package's dependencies."""
        return isinstance(self.resolver, PackageToResolve) and bool(self.resolver.dependencies)

    def gives_file_up(self, to: RegistrationState) -> bool:
        """Return whether the package's file is no longer needed once this state is reached."""
        return self.file_key is not None and to is (
            RegistrationState.DONE if self.kind is Kind.REMOVAL else RegistrationState.REFUSED
        )


def is_refusal(error: SotaError) -> bool:
    """Return whether a retry would get the same answer: no failure, no overload, and not our own credential."""
    return error.status < 500 and error.status != 429 and error.code != "unauthenticated"
