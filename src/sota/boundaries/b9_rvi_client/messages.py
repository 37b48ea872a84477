"""Bodies of B9: those of B7, as the RVI Node Client hands them to the SOTA Client and takes them from it."""

from __future__ import annotations

from sota.boundaries.b7_core_rvi.messages import (
    BACKEND_BODIES,
    VEHICLE_BODIES,
    AbortDownload,
    Acknowledgement,
    Block,
    CancelDownload,
    ChangeKind,
    Download,
    FinishDownload,
    Firmware,
    InitiateDownload,
    InstalledSoftware,
    InstallReport,
    LocalChange,
    Operation,
    Reported,
    ReportStatus,
    StartDownload,
    UpdateAvailable,
)

__all__ = [
    "BACKEND_BODIES",
    "VEHICLE_BODIES",
    "AbortDownload",
    "Acknowledgement",
    "Block",
    "CancelDownload",
    "ChangeKind",
    "Download",
    "FinishDownload",
    "Firmware",
    "InitiateDownload",
    "InstallReport",
    "InstalledSoftware",
    "LocalChange",
    "Operation",
    "ReportStatus",
    "Reported",
    "StartDownload",
    "UpdateAvailable",
]
