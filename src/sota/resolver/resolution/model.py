"""The decisions of a resolve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sota.resolver.dependencies.model import Plan


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about vehicles that match all filters: at least one VIN, each once in a resolve."""

    vins: Sequence[str]
    plan: Plan
