"""Bodies of B10 that are its own: what the Software Loading Manager says. The others are those of B7."""

from __future__ import annotations

from enum import StrEnum

from sota.boundaries.values import (
    Blocks,
    Description,
    DownloadIdentity,
    DownloadIndex,
    Id,
    Instant,
    Message,
    OutcomeReport,
    PackageId,
    Reason,
    Request,
    Size,
    Stage,
    Timed,
    UpdateStatus,
)


class DownloadWanted(Message, frozen=True):
    """B10-2: the Software Loading Manager wants this download now."""

    download_index: DownloadIndex
    identity: DownloadIdentity


class BlocksReceived(Message, frozen=True):
    """B10-5: the blocks of the download that the Software Loading Manager has on disk."""

    download_index: DownloadIndex
    received: Blocks


class DownloadProgress(Message, frozen=True):
    """One download of an update, as the Software Loading Manager sees it."""

    download_index: DownloadIndex
    status: UpdateStatus
    stage: Stage | None = None
    reason: Reason | None = None


class Waiting(StrEnum):
    """What an accepted update waits for inside the vehicle."""

    CONSENT = "consent"
    DEFERRAL = "deferral"
    """The driver said: later."""
    PRECONDITIONS = "preconditions"


class VehicleUpdate(Message, frozen=True):
    """How an update that was accepted stands in the vehicle; ``outcome`` is the answer to B10-1 when it is done.

    ``preconditions`` is what was found when they were looked at last.
    """

    update_id: Id
    status: UpdateStatus
    downloads: list[DownloadProgress]
    stage: Stage | None = None
    reason: Reason | None = None
    outcome: OutcomeReport | None = None
    waiting_for: Waiting | None = None
    preconditions: str | None = None


class Decision(StrEnum):
    """What a driver can say to an update."""

    ACCEPT = "accept"
    DEFER = "defer"
    DECLINE = "decline"


class ConsentQuestion(Message, frozen=True):
    """An update that waits for the driver's decision. ``size`` is in bytes, prerequisites included.

    ``defer_until`` is the latest time to which it may be put off, None where it may not be any more;
    ``deferred_until`` is set while it is.
    """

    update_id: Id
    description: Description
    packages: list[PackageId]
    size: Size
    asked_at: Instant
    deferrals_left: int
    defer_until: Instant | None = None
    deferred_until: Instant | None = None


class ConsentAnswer(Request, Timed, frozen=True):
    """The driver's decision. ``until`` is for ``defer``; without it the vehicle's own period holds."""

    decision: Decision
    until: Instant | None = None
