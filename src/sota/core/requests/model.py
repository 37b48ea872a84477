"""Install requests and the updates that they become: rules of queueing. Nothing here does I/O.

Rules kept here:

* a vehicle that has the package already gets no update, and neither does one that would be downgraded unawares;
* prerequisites come first, the package itself last;
* a blacklisted package is sent to nobody, neither by itself nor as a prerequisite;
* a request is over when none of its updates is open: completed where one was installed, failed where none was, or
  stopped or cancelled, where an operator ended it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    def is_open(self) -> bool:
        """Whether some are open."""
        return bool(self.pending or self.in_flight)

    @property
    def is_begun(self) -> bool:
        """Whether some are beyond waiting."""
        return bool(self.in_flight or self.installed or self.failed or self.cancelled)

    @property
    def total(self) -> int:
        """How many there are."""
        return self.pending + self.in_flight + self.installed + self.failed + self.cancelled

    def __add__(self, other: Counts) -> Counts:
        """Add two."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """A request as it is stored; a batch is several of one id, by position. ``is_prepared``: it is still written.

    ``ended_as`` is what an operator made of it, ``stopped`` or ``cancelled``, unless it was tried again since.
    """

    id: UUID
    position: int
    kind: str
    name: str | None
    order: Order
    left_out: int
    created_at: datetime
    resolution_id: UUID | None = None
    left_out_reasons: Mapping[str, int] = field(default_factory=dict)
    is_prepared: bool = False
    ended_as: str | None = None


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
    ended_by: str | None
    result_code: int | None
    result_text: str | None
    size: int
    acknowledged: int
    created_at: datetime
    changed_at: datetime
    completed_at: datetime | None


def status_of(parts: Sequence[InstallRequest], counts: Counts, now: datetime) -> str:
    """Say how far a request is; ``counts`` are of all its parts that are given."""
    first = parts[0]
    if first.is_prepared:
        return "preparing"
    if counts.is_open:
        is_scheduled = not counts.is_begun and now < min(part.order.start for part in parts)
        return "scheduled" if is_scheduled else "running"
    return first.ended_as or ("completed" if counts.installed else "failed")


def in_order(order: Order, packages: Iterable[PackageKey]) -> tuple[PackageKey, ...]:
    """Give what a vehicle gets of what the Resolver names, in its order."""
    if order.command == "remove":
        return (order.package,)
    return (*(package for package in packages if package != order.package), order.package)


def refused_versions(order: Order, installed: Iterable[str]) -> set[str]:
    """Say with which of these versions of the package a vehicle gets nothing: the same, and those it would lose."""
    version = order.package[1]
    return {
        other
        for other in installed
        if other == version or (not order.allow_downgrade and is_older(version, than=other))
    }
