"""Downloads, and which of them a vehicle's message is about. Nothing here does I/O.

Rules kept here:

* a message counts only for the download whose identity it names, in the epoch of the vehicle that it names; the index
  only finds the download (docs/decisions/0021-a-download-has-an-identity.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sota.boundaries.b7_core_rvi.messages import (
    Acknowledgement,
    CancelDownload,
    InitiateDownload,
    InstallationStage,
    InstallReport,
)
from sota.boundaries.values import DownloadIdentity, PackageId
from sota.kit.ranges import Ranges

DownloadKey = tuple[str, int]
"""VIN and download index."""


def block_count(size: int, block_size: int) -> int:
    """How many blocks a file has; an empty one has none."""
    return -(-size // block_size)


class DownloadState(StrEnum):
    """Where a download stands in the database."""

    PENDING = "pending"
    TRANSFERRING = "transferring"
    TRANSFERRED = "transferred"
    INSTALLED = "installed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the vehicle has reported it, or it was given up."""
        return self in {DownloadState.INSTALLED, DownloadState.FAILED}


@dataclass(frozen=True, slots=True)
class Download:
    """A download with what its transfer needs of its package, its update and its request."""

    vin: str
    download_index: int
    update_id: UUID
    request_id: UUID
    package: tuple[str, str]
    size: int
    block_size: int
    received: Ranges
    state: DownloadState
    update_status: str
    command: str
    uri: str
    sha256: str
    sha1: str
    installer: str
    target: str | None
    signature: str | None
    epoch: str
    allow_downgrade: bool = False
    ended_by: str | None = None
    update_stage: str | None = None

    @property
    def package_text(self) -> str:
        """The *Package ID*."""
        return "/".join(self.package)

    @property
    def identity(self) -> DownloadIdentity:
        """Which download it is, whatever its index."""
        name, version = self.package
        return DownloadIdentity(
            update_id=str(self.update_id), package=PackageId(name=name, version=version), sha256=self.sha256
        )

    @property
    def block_count(self) -> int:
        """How many blocks the file has."""
        return block_count(self.size, self.block_size)

    def bytes_in(self, index: int) -> int:
        """How many bytes block ``index`` (from 1) has."""
        return min(self.block_size, self.size - (index - 1) * self.block_size)


DownloadMessage = InitiateDownload | CancelDownload | Acknowledgement | InstallationStage | InstallReport
"""What a vehicle sends about a download; each names VIN, index, identity and epoch."""


@dataclass(frozen=True, slots=True)
class DownloadRef:
    """A download that a vehicle is to be told of: its handle and its identity."""

    vin: str
    download_index: int
    identity: DownloadIdentity


@dataclass(frozen=True, slots=True)
class Lease:
    """Which Core drives an update, until when without a sign of life of its vehicle, and when to try again."""

    owner: str
    now: datetime
    lease_until: datetime
    next_try_at: datetime


class Mismatch(StrEnum):
    """Why a vehicle's message counts for no download."""

    DOWNLOAD = "download"
    """The index is unknown, or stands for another download."""
    EPOCH = "epoch"
    """The download is known; the vehicle was told of it in another life."""


def mismatch(known: Download | None, claim: DownloadMessage) -> Mismatch | None:
    """Compare what a vehicle names with the download that has its index."""
    if known is None or known.identity != claim.identity:
        return Mismatch.DOWNLOAD
    return None if known.epoch == claim.epoch else Mismatch.EPOCH
