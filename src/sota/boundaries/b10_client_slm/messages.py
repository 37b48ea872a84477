"""Bodies of B10: what the SOTA Client and the Software Loading Manager say to one another."""

from __future__ import annotations

from sota.boundaries.b7_core_rvi.messages import (
    AbortDownload,
    CancelDownload,
    Download,
    Firmware,
    InitiateDownload,
    InstalledSoftware,
    InstallReport,
    Operation,
    ReportStatus,
    StartDownload,
    UpdateAvailable,
)
from sota.boundaries.values import Blocks, DownloadIndex, Id, Message, OutcomeReport, Reason, Stage, UpdateStatus

__all__ = [
    "AbortDownload",
    "BlocksReceived",
    "CancelDownload",
    "Download",
    "DownloadProgress",
    "DownloadWanted",
    "Firmware",
    "InitiateDownload",
    "InstallReport",
    "InstalledSoftware",
    "Operation",
    "ReportStatus",
    "StartDownload",
    "UpdateAvailable",
    "VehicleUpdate",
]


class DownloadWanted(Message, frozen=True):
    """B10-2: the Software Loading Manager wants this download now."""

    download_index: DownloadIndex


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


class VehicleUpdate(Message, frozen=True):
    """How an update that was accepted stands in the vehicle; ``outcome`` is the answer to B10-1 when it is done."""

    update_id: Id
    status: UpdateStatus
    downloads: list[DownloadProgress]
    stage: Stage | None = None
    reason: Reason | None = None
    outcome: OutcomeReport | None = None
