"""The result of a fleet: the JSON of ``sota fleet --once``, and whether it is what the profile says."""

from __future__ import annotations

import msgspec

from sota.fleet.counts import Snapshot, UpdateStage
from sota.fleet.fleet import Fleet
from sota.fleet.profile import Profile

BY_INSTALLATION = {"install_failed", "rolled_back"}
BY_CORRUPTION = {"verification_failed"}
BY_EITHER = {"dependency"}


class Summary(msgspec.Struct, frozen=True):
    """The fleet at its end. Times run from the first offer of an update to the last end of one."""

    vehicles: int
    expected: int
    connected: int
    installed: int
    failed: int
    unfinished: int
    failures: dict[str, int]
    seconds: float
    vehicles_per_s: float
    mb_per_s: float
    mb: float
    seed: int
    complete: bool


def summary(now: Snapshot, fleet: Fleet, *, is_over: bool) -> Summary:
    """Sum a fleet up; ``mb`` counts received blocks, decoded, with repetitions."""
    seconds = max(now.elapsed_s, 1e-9)
    mb = now.payload_bytes / 1e6
    return Summary(
        vehicles=now.vehicles,
        expected=fleet.expected,
        connected=now.connected,
        installed=now.stages[UpdateStage.INSTALLED],
        failed=now.stages[UpdateStage.FAILED],
        unfinished=fleet.expected - now.over,
        failures=now.failures,
        seconds=round(now.elapsed_s, 3),
        vehicles_per_s=round(now.over / seconds, 2) if now.elapsed_s else 0.0,
        mb_per_s=round(mb / seconds, 2) if now.elapsed_s else 0.0,
        mb=round(mb, 3),
        seed=fleet.plan.seed,
        complete=is_over,
    )


def is_as_wanted(now: Snapshot, profile: Profile) -> bool:
    """Return whether only those failed that the profile makes fail."""
    wanted: set[str] = set()
    if profile.faults.install_failure:
        wanted |= BY_INSTALLATION | BY_EITHER
    if profile.faults.corrupt_download:
        wanted |= BY_CORRUPTION | BY_EITHER
    return set(now.failures) <= wanted
