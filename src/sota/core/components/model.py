"""A component: a kind of control unit, known by its part number. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Component:
    """A registered component."""

    part_number: str
    name: str | None
    description: str
    created_at: datetime
