"""The progress of a fleet's vehicles, counted from the messages through their nodes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class UpdateStage(StrEnum):
    """The stage of a vehicle's newest update."""

    IDLE = "idle"
    NOTIFIED = "notified"
    TRANSFERRING = "transferring"
    INSTALLING = "installing"
    REPORTING = "reporting"
    """It has ended in the vehicle; Core has not confirmed the last report yet."""
    INSTALLED = "installed"
    FAILED = "failed"
    """Core knows that it failed or was cancelled."""

    @property
    def is_over(self) -> bool:
        """Whether Core knows the end."""
        return self in {UpdateStage.INSTALLED, UpdateStage.FAILED}


@dataclass(slots=True)
class UpdateProgress:
    """The newest update of a vehicle: its downloads, and those whose end Core knows."""

    update_id: str
    downloads: frozenset[int]
    ended: dict[int, str] = field(default_factory=dict)
    confirmed: set[int] = field(default_factory=set)

    @property
    def stage(self) -> UpdateStage:
        """The update's stage, once reports exist."""
        if not self.downloads <= self.confirmed:
            return UpdateStage.REPORTING
        return (
            UpdateStage.INSTALLED
            if all(self.ended[index] == "installed" for index in self.downloads)
            else UpdateStage.FAILED
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole fleet at one moment."""

    vehicles: int
    connected: int
    stages: dict[UpdateStage, int]
    payload_bytes: int
    failures: dict[str, int]
    elapsed_s: float

    @property
    def over(self) -> int:
        """How many vehicles' updates are over."""
        return sum(count for stage, count in self.stages.items() if stage.is_over)


class Counts:
    """What is known of each vehicle, with sums that are always ready."""

    def __init__(self, vins: list[str]) -> None:
        self._stages: dict[str, UpdateStage] = dict.fromkeys(vins, UpdateStage.IDLE)
        self._updates: dict[str, UpdateProgress] = {}
        self._sums: Counter[UpdateStage] = Counter({UpdateStage.IDLE: len(vins)})
        self._failures: Counter[str] = Counter()
        self._began: float | None = None
        self._ended = 0.0
        self.connected = 0
        self.payload_bytes = 0

    def notified(self, vin: str, update_id: str, downloads: frozenset[int]) -> None:
        """Count an offered update; a repeated offer changes nothing."""
        known = self._updates.get(vin)
        if known is not None and (known.update_id, known.downloads) == (update_id, downloads):
            return
        if self._began is None:
            self._began = time.monotonic()
        self._updates[vin] = UpdateProgress(update_id, downloads)
        self._move(vin, UpdateStage.NOTIFIED)

    def transferring(self, vin: str) -> None:
        """Count that Core starts to send."""
        if self._stages[vin] is UpdateStage.NOTIFIED:
            self._move(vin, UpdateStage.TRANSFERRING)

    def installing(self, vin: str) -> None:
        """Count that the installation starts."""
        self._move(vin, UpdateStage.INSTALLING)

    def reported(self, vin: str, download_index: int, status: str, reason: str | None) -> None:
        """Count a report that was sent."""
        update = self._updates.get(vin)
        if update is None or download_index not in update.downloads:
            return
        if download_index not in update.ended and status != "installed":
            self._failures[reason or status] += 1
        update.ended[download_index] = status
        if len(update.ended) == len(update.downloads):
            self._move(vin, update.stage)

    def confirmed(self, vin: str, download_index: int) -> None:
        """Count a report that Core has confirmed."""
        update = self._updates.get(vin)
        if update is None or download_index not in update.ended:
            return
        update.confirmed.add(download_index)
        if len(update.ended) == len(update.downloads):
            self._move(vin, update.stage)

    def stage(self, vin: str) -> UpdateStage:
        """Return a vehicle's stage."""
        return self._stages[vin]

    def snapshot(self) -> Snapshot:
        """Return the current sums; the time runs from the first offer to the last end."""
        over = self._sums[UpdateStage.INSTALLED] + self._sums[UpdateStage.FAILED]
        if self._began is None:
            elapsed_s = 0.0
        else:
            until = self._ended if over == len(self._updates) and self._ended else time.monotonic()
            elapsed_s = until - self._began
        return Snapshot(
            vehicles=len(self._stages),
            connected=self.connected,
            stages={stage: self._sums[stage] for stage in UpdateStage},
            payload_bytes=self.payload_bytes,
            failures=dict(self._failures),
            elapsed_s=elapsed_s,
        )

    def _move(self, vin: str, stage: UpdateStage) -> None:
        before = self._stages[vin]
        if before is stage:
            return
        self._stages[vin] = stage
        self._sums[before] -= 1
        self._sums[stage] += 1
        if stage.is_over:
            self._ended = time.monotonic()
