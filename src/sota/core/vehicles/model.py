"""A vehicle, and the rules about its installed packages. Nothing here does I/O."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

PackageKey = tuple[str, str]


def new_epoch() -> str:
    """Generate an epoch: 16 hexadecimal digits, never used before.

    >>> len(new_epoch())
    16
    """
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle as Core knows it; ``connected`` is the node's last report."""

    vin: str
    created_at: datetime
    last_seen_at: datetime | None
    connected: bool
    retired_at: datetime | None = None


def two_versions(packages: Iterable[PackageKey]) -> str | None:
    """Return the name of a package that is in a list in two versions: a vehicle has one.

    >>> two_versions([("ivi", "1.0.0"), ("maps", "1.0.0"), ("ivi", "2.0.0")])
    'ivi'
    """
    seen: set[str] = set()
    for name, _ in packages:
        if name in seen:
            return name
        seen.add(name)
    return None


def differences(before: set[PackageKey], after: set[PackageKey]) -> tuple[set[PackageKey], set[PackageKey]]:
    """Return added and removed packages.

    >>> differences({("ivi", "1.0.0")}, {("ivi", "2.0.0")})
    ({('ivi', '2.0.0')}, {('ivi', '1.0.0')})
    """
    return after - before, before - after


def after_install(before: set[PackageKey], package: PackageKey) -> set[PackageKey]:
    """Return the packages after ``package`` is installed: it replaces other versions of its name."""
    return {known for known in before if known[0] != package[0]} | {package}


def after_removal(before: set[PackageKey], name: str) -> set[PackageKey]:
    """Return the packages after every version of ``name`` is removed."""
    return {known for known in before if known[0] != name}
