"""What changes when a vehicle is told of as it is built. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

PackageKey = tuple[str, str]


@dataclass(slots=True)
class Known:
    """What is known of a vehicle, before or after."""

    components: set[str] = field(default_factory=set)
    packages: set[PackageKey] = field(default_factory=set)
    data_plan: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a provisioning request that could be read."""

    number: int
    vin: str
    wanted: Known
