"""What provisioning changes in a vehicle. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

PackageKey = tuple[str, str]


@dataclass(slots=True)
class Known:
    """A vehicle's state, before or after."""

    components: set[str] = field(default_factory=set)
    packages: set[PackageKey] = field(default_factory=set)
    data_plan: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One valid line of a provisioning request."""

    number: int
    vin: str
    wanted: Known
