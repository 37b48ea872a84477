"""Bodies of B7, which B8 carries and B9 hands on: one download, block by block, and its report.

Each message about a download names its identity: update, package and SHA-256. What a vehicle says counts only with the
vehicle's epoch beside it, which it learned by ``notify``, ``start`` or ``welcome`` (docs/specification.md, ruling 16).

Each travels as the one element of ``parameters`` (``services.py``). Members that a newer vehicle adds are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from sota.boundaries.values import (
    BlockIndex,
    Blocks,
    Command,
    Description,
    DownloadIdentity,
    DownloadIndex,
    Epoch,
    ForeignText,
    Id,
    InstalledPackage,
    Installer,
    Instant,
    Interval,
    Message,
    OutcomeReport,
    PackageId,
    Priority,
    Reason,
    Sha1,
    Sha256,
    SignatureEnvelope,
    Size,
    Stage,
    Target,
    Timed,
    Vin,
)

BLOCK_LIMIT = 1 << 20
OUTPUT_LIMIT = 1 << 16


class ScheduledUpdate(Timed, frozen=True):
    """B7-1: an update that waits for a vehicle; the node tells Core when the vehicle connects within the interval."""

    vin: Vin
    update_id: Id
    package: PackageId
    dependencies: list[PackageId]
    interval: Interval
    priority: Priority
    created_at: Instant


class UnscheduledUpdate(Message, frozen=True):
    """B7-1: an update that need not be scheduled any more."""

    vin: Vin
    update_id: Id


class Download(Message, frozen=True):
    """One package file of an update."""

    download_index: DownloadIndex
    package: PackageId
    size: Size
    sha256: Sha256


class UpdateAvailable(Message, frozen=True):
    """B7-2 ``notify``: an update waits for the vehicle. Prerequisites come first; consent is per update."""

    update_id: Id
    epoch: Epoch
    downloads: Annotated[list[Download], Meta(min_length=1, max_length=1000)]
    description: Description
    request_confirmation: bool

    def identity_of(self, download: Download) -> DownloadIdentity:
        """Return the identity of one of these downloads."""
        return DownloadIdentity(update_id=self.update_id, package=download.package, sha256=download.sha256)


class FromVehicle(Message, frozen=True):
    """What a vehicle says of a download."""

    vin: Vin
    download_index: DownloadIndex
    identity: DownloadIdentity


class InitiateDownload(FromVehicle, frozen=True):
    """B7-3 ``start`` to Core: the vehicle asks for a download."""

    epoch: Epoch


class CancelDownload(FromVehicle, frozen=True):
    """B7-3 ``cancel`` to Core: the vehicle wants no more of a download, for example because the driver declined."""

    epoch: Epoch
    reason: Reason | None = None


class StartDownload(Message, frozen=True):
    """B7-4 ``start`` to the vehicle: what is about to be sent, and what is to be done with it.

    With the index of an ongoing download: the same identity keeps its blocks, another one discards them.
    """

    download_index: DownloadIndex
    update_id: Id
    epoch: Epoch
    package: PackageId
    size: Size
    block_size: Annotated[int, Meta(ge=1, le=BLOCK_LIMIT)]
    block_count: Annotated[int, Meta(ge=0, le=1 << 31)]
    sha256: Sha256
    sha1: Sha1
    installer: Installer
    command: Command
    target: Target | None = None
    signature: SignatureEnvelope | None = None
    allow_downgrade: bool = False

    @property
    def identity(self) -> DownloadIdentity:
        """The identity of the download."""
        return DownloadIdentity(update_id=self.update_id, package=self.package, sha256=self.sha256)


class AbortDownload(Message, frozen=True):
    """B7-4 ``abort`` to the vehicle: a download ends here. An unknown one is passed over in silence."""

    download_index: DownloadIndex
    identity: DownloadIdentity
    reason: Reason | None = None


class Block(Message, frozen=True, rename={"content": "bytes"}):
    """B7-5 ``chunk``: one block of the file; on the wire its content is ``bytes``, in base64."""

    download_index: DownloadIndex
    identity: DownloadIdentity
    index: BlockIndex
    content: Annotated[bytes, Meta(max_length=BLOCK_LIMIT)]


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """B7-5 ``chunk`` as Core sends it, encoded already.

    ``identity`` is the JSON object of the download's identity, the same for all its blocks; ``content`` is the JSON
    string of the block, in base64 and with its quotes.
    """

    download_index: int
    identity: bytes
    index: int
    content: bytes

    @classmethod
    def of(cls, block: Block) -> EncodedBlock:
        """Encode a block."""
        identity, content = msgspec.json.encode(block.identity), msgspec.json.encode(block.content)
        return cls(block.download_index, identity, block.index, content)

    @property
    def parts(self) -> tuple[bytes, bytes, bytes]:
        """The message in parts: the content is not copied."""
        head = b'{"download_index":%d,"identity":%b,"index":%d,"bytes":'
        return head % (self.download_index, self.identity, self.index), self.content, b"}"


class FinishDownload(Message, frozen=True):
    """B7-6 ``finish``: everything was sent; is it complete and whole?"""

    download_index: DownloadIndex
    identity: DownloadIdentity


class Acknowledgement(FromVehicle, frozen=True):
    """``ack`` to Core: every block that is on the vehicle's disk, as ranges; the outcome of what it answers."""

    epoch: Epoch
    received: Blocks
    outcome: OutcomeReport | None = None


class ReportStatus(StrEnum):
    """What became of a download in the vehicle."""

    INSTALLED = "installed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Operation(Message, frozen=True):
    """One step of the installer: result code (0 and 1 are success) and the installer's own output."""

    id: Annotated[str, Meta(max_length=200)]
    result_code: Annotated[int, Meta(ge=0, le=999)]
    result_text: Annotated[str, Meta(max_length=OUTPUT_LIMIT)]

    @property
    def succeeded(self) -> bool:
        """Whether the step was done, now or earlier."""
        return self.result_code in {0, 1}


class InstallReport(FromVehicle, frozen=True):
    """B7-7 ``report``: what the vehicle did, and which version of the package it runs now.

    ``running_version`` is null where the package is not installed, and left out where the vehicle cannot tell.
    """

    status: ReportStatus
    operations: Annotated[list[Operation], Meta(max_length=1000)]
    running_version: ForeignText | UnsetType | None = UNSET
    reason: Reason | None = None
    outcome: OutcomeReport | None = None
    epoch: Epoch | None = None
    """The SOTA Client writes it: the Software Loading Manager need not know it."""

    @property
    def package(self) -> PackageId:
        """The package that was installed or removed."""
        return self.identity.package


class InstallationStage(FromVehicle, frozen=True):
    """``stage`` to Core: what the installer does with a download now. The last word of several holds."""

    stage: Stage
    epoch: Epoch | None = None
    """The SOTA Client writes it, as in a report."""


class VehicleConnected(Message, frozen=True):
    """``connected`` to Core: what the vehicle's data folder remembers; no epoch where it remembers none."""

    vin: Vin
    highest_index: Annotated[int, Meta(ge=0, le=1 << 60)]
    epoch: Epoch | None = None


class Welcome(Message, frozen=True):
    """``welcome`` to the vehicle: its epoch. The vehicle answers with ``connected``, as its folder was until then."""

    epoch: Epoch


class Reported(Message, frozen=True):
    """``reported`` to the vehicle: Core has the report; whatever the outcome, the vehicle stops resending it.

    It is that of a download, or the message about installed software with this ``sequence``.
    """

    outcome: OutcomeReport
    download_index: DownloadIndex | None = None
    identity: DownloadIdentity | None = None
    sequence: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None


class Firmware(Timed, frozen=True):
    """The firmware of one control unit."""

    module: ForeignText
    version: ForeignText
    changed_at: Instant | None = None


class ChangeKind(StrEnum):
    """What was done to a package by hand, in the vehicle."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    REMOVE = "remove"


class LocalChange(Timed, frozen=True):
    """A package that something other than SOTA changed in the vehicle (DEV-30). ``at`` is the vehicle's clock."""

    package: InstalledPackage
    operation: ChangeKind
    at: Instant


class InstalledSoftware(Message, frozen=True):
    """B7-8 ``packages``: everything that a vehicle has installed, and what was changed locally.

    With a ``sequence`` it is sent until Core confirms it by ``reported``; with an ``outcome`` of 409 the vehicle cannot
    tell, and the lists say nothing.
    """

    vin: Vin
    packages: Annotated[list[InstalledPackage], Meta(max_length=10_000)]
    firmware: Annotated[list[Firmware], Meta(max_length=1000)]
    changes: Annotated[list[LocalChange], Meta(max_length=1000)] = field(default_factory=list)
    sequence: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None
    outcome: OutcomeReport | None = None
