"""Install requests and the updates that they become: rules of queueing. Nothing here does I/O.

Rules kept here:

* a vehicle that has the package already gets no update, and neither does one that would be downgraded unawares;
* prerequisites come first, the package itself last;
* a blacklisted package is sent to nobody, neither by itself nor as a prerequisite;
* a request is completed when none of its updates is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sota.core.packages.model import Package, is_older

PackageKey = tuple[str, str]
OPEN = ("pending", "in_flight")


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: one package, for the vehicles of its filters, within an interval."""

    package: PackageKey
    priority: int
    start: datetime
    end: datetime
    request_confirmation: bool = False
    command: str = "install"
    allow_downgrade: bool = False
    data_plan_threshold: int | None = None
    description: str | None = None

    @property
    def text(self) -> str:
        """The *Package ID*."""
        return "/".join(self.package)

    def may_go(self, package: Package) -> bool:
        """Say whether a package may be sent for this order: a blacklisted one may be removed, and no more."""
        return self.command == "remove" or package.blacklisted_at is None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many updates are in each state."""

    pending: int = 0
    in_flight: int = 0
    installed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def status(self) -> str:
        """How far it is: ``pending`` while nothing has begun, ``completed`` when nothing is open."""
        if not self.pending and not self.in_flight:
            return "completed"
        begun = self.in_flight or self.installed or self.failed or self.cancelled
        return "in_flight" if begun else "pending"

    def __add__(self, other: Counts) -> Counts:
        """Add two."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """A request as it is stored; a batch is several of one id, by position."""

    id: UUID
    position: int
    kind: str
    name: str | None
    order: Order
    left_out: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Update:
    """One vehicle's update. ``packages`` are prerequisites first; ``acknowledged`` counts bytes."""

    update_id: UUID
    request_id: UUID
    vin: str
    package: PackageKey
    packages: list[PackageKey]
    status: str
    stage: str | None
    reason: str | None
    result_code: int | None
    result_text: str | None
    size: int
    acknowledged: int
    created_at: datetime
    changed_at: datetime
    completed_at: datetime | None


@dataclass(slots=True)
class Plan:
    """Which vehicles get which packages, and how many are left out and why."""

    updates: dict[str, list[PackageKey]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        """Count a vehicle that gets no update."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def plan(
    order: Order,
    resolved: Iterable[tuple[str, list[PackageKey]]],
    installed: Mapping[str, set[PackageKey]],
) -> Plan:
    """Decide who gets an update. ``installed`` has an entry for every vehicle that Core knows."""
    result = Plan()
    for vin, packages in resolved:
        known = installed.get(vin)
        if known is None:
            result.leave_out("unknown_vin")
        elif order.command == "remove":
            if order.package in known:
                result.updates[vin] = [order.package]
            else:
                result.leave_out("not_installed")
        elif order.package in known:
            result.leave_out("installed_already")
        elif not order.allow_downgrade and _would_downgrade(order.package, known):
            result.leave_out("downgrade")
        else:
            result.updates[vin] = [package for package in packages if package != order.package] + [order.package]
    return result


def _would_downgrade(package: PackageKey, installed: set[PackageKey]) -> bool:
    name, version = package
    return any(known == name and is_older(version, than=other) for known, other in installed)
