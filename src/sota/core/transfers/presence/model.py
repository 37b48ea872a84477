"""What Core knows of a vehicle's present epoch, compared with what the vehicle remembers. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Life:
    """What Core knows of a vehicle's present epoch."""

    vin: str
    epoch: str
    highest_index: int
    """The highest index that either side has named."""
    highest_answered: int
    """The highest index of a download that the vehicle has asked for: the vehicle must remember it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What must be done after a comparison."""

    renew: bool
    """Core knows less than the vehicle learned in its present epoch: the database has lost its last commits."""
    stale: bool
    """The vehicle must be sent its present epoch, and its update under way once more."""
    ask: bool
    """Register and vehicle may differ: the vehicle is asked for all its packages."""


def judge(life: Life, epoch: str | None, highest_index: int, *, knows_update: bool = True) -> Verdict:
    """Compare what a vehicle remembers with what Core knows.

    >>> judge(Life("WVW00000000000001", "a" * 16, 7, 7), "a" * 16, 7)
    Verdict(renew=False, stale=False, ask=False)
    """
    is_current = epoch == life.epoch
    renew = is_current and (highest_index > life.highest_index or not knows_update)
    is_behind = highest_index < life.highest_answered
    is_new = epoch is None and not highest_index and not life.highest_answered
    return Verdict(renew, renew or is_behind or not is_current, (renew or is_behind or not is_current) and not is_new)
