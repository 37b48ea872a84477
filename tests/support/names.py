"""Names and VINs that no other test of this process has."""

from __future__ import annotations

import itertools

_numbers = itertools.count(1)


def new_vin(prefix: str = "TESTVEH") -> str:
    """Return a new VIN."""
    return f"{prefix}{next(_numbers):0{17 - len(prefix)}d}"


def new_name(prefix: str = "name") -> str:
    """Return a new name."""
    return f"{prefix}-{next(_numbers)}"
