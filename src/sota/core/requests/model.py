"""Install requests and the updates that they become: rules of queueing. Nothing here does I/O.

Rules kept here:

* a vehicle that has the package already gets no update, and neither does one that would be downgraded by accident;
* prerequisites come first, the package itself last;
* a blacklisted package is sent to no vehicle, neither by itself nor as a prerequisite;
* a request is closed when none of its updates is open: completed where one was installed, failed where none was,
  stopped or cancelled where an operator ended it.
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
    """What is requested: one package, for the vehicles of its filters, within an interval."""

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
        """Report whether a package may be sent for this order: a blacklisted one may only be removed."""
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

    def __add__(self, other: Counts) -> Counts:
        """Add two."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """A request as it is stored; a batch is several of one id, by position. ``is_prepared``: it is still being written.

    ``ended_as`` is how an operator ended it, ``stopped`` or ``cancelled``, unless it was retried since.
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


def status_of(parts: Sequence[InstallRequest], counts: Counts, now: datetime) -> str:
    """Return the status of a request; ``counts`` are the sum over ``parts``."""
    first = parts[0]
    if first.is_prepared:
        return "preparing"
    if counts.is_open:
        is_scheduled = not counts.is_begun and now < min(part.order.start for part in parts)
        return "scheduled" if is_scheduled else "running"
    return first.ended_as or ("completed" if counts.installed else "failed")


def in_order(order: Order, packages: Iterable[PackageKey]) -> tuple[PackageKey, ...]:
    """Return the packages that a vehicle gets of those that the Resolver names, in order."""
    if order.command == "remove":
        return (order.package,)
    return (*(package for package in packages if package != order.package), order.package)


def refused_versions(order: Order, installed: Iterable[str]) -> set[str]:
    """Return the installed versions with which a vehicle gets no update: the same one, and newer ones."""
    version = order.package[1]
    return {
        other
        for other in installed
        if other == version or (not order.allow_downgrade and is_older(version, than=other))
    }
