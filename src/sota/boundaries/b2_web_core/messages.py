"""Bodies of B2: what the Web Server asks of SOTA Core, and what Core answers.

B1 uses the same bodies under the same paths; whatever Core keeps is described here, whatever the Resolver keeps in B3.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, field

from sota.boundaries.b7_core_rvi.messages import Firmware, LocalChange
from sota.boundaries.values import (
    Command,
    Description,
    EndedBy,
    Id,
    InstalledPackage,
    Installer,
    Instant,
    Interval,
    Message,
    PackageId,
    PackageName,
    PartNumber,
    Percent,
    Priority,
    Reason,
    Request,
    Sha1,
    Sha256,
    ShortText,
    SignatureEnvelope,
    Size,
    Stage,
    Target,
    Timed,
    UpdateStatus,
    Version,
    Vin,
    ends_after,
)


class NewVehicle(Request, frozen=True):
    """A vehicle to register."""

    vin: Vin


class Vehicle(Message, frozen=True):
    """A vehicle as Core knows it. ``connected`` is what the node said last."""

    vin: Vin
    registered_at: Instant
    connected: bool
    last_seen_at: Instant | None = None
    retired_at: Instant | None = None


class ListedVehicle(Vehicle, frozen=True):
    """A vehicle that was searched for; with its installed packages where they were asked for."""

    packages: list[InstalledPackage] | None = None


class VehicleDetail(Vehicle, frozen=True, kw_only=True):
    """A vehicle with what is in it, its latest updates and the latest changes made by hand, newest first."""

    components: list[PartNumber]
    packages: list[InstalledPackage]
    updates: list[Update]
    firmware: list[Firmware] = field(default_factory=list)
    local_changes: list[LocalChange] = field(default_factory=list)


class NewPackage(Request, frozen=True):
    """A package whose file is in the repository already; ``uri`` is the file's opaque key there."""

    name: PackageName
    version: Version
    size: Size
    sha256: Sha256
    sha1: Sha1
    uri: Annotated[str, Meta(min_length=1, max_length=1024)]
    installer: Installer
    description: Description = ""
    vendor: ShortText = ""
    target: Target | None = None
    signature: SignatureEnvelope | None = None


class Package(Message, frozen=True):
    """A registered package."""

    name: PackageName
    version: Version
    size: Size
    sha256: Sha256
    sha1: Sha1
    installer: Installer
    description: str
    vendor: str
    signed: bool
    created_at: Instant
    target: Target | None = None
    blacklisted_at: Instant | None = None
    blacklist_comment: str | None = None


class PackageFile(Message, frozen=True):
    """The file behind a package: the opaque key by which the repository has it, and what is in it."""

    uri: Annotated[str, Meta(max_length=1024)]
    size: Size
    sha256: Sha256


class QueueRequest(Request, frozen=True):
    """A Queue Package Request: this package, for the vehicles that its filters choose, within this interval."""

    package: PackageId
    priority: Priority
    interval: Interval
    request_confirmation: bool = False
    command: Command = Command.INSTALL
    allow_downgrade: bool = False
    data_plan_threshold: Percent | None = None
    description: Description | None = None


QueueRequests = Annotated[list[QueueRequest], Meta(min_length=1, max_length=1000)]


class Queued(Message, frozen=True):
    """The Install Request ID of what was queued; with 0 ``vehicles`` and a warning where no vehicle was chosen."""

    install_request_id: Id
    vehicles: int | None = None
    warning: str | None = None


class NewCampaign(Request, Timed, frozen=True):
    """A campaign: a Queue Package Request that may have a name."""

    package: PackageId
    priority: Priority
    start: Instant
    end: Instant
    name: ShortText | None = None

    def __post_init__(self) -> None:
        """Refuse a campaign that ends before it starts."""
        Timed.__post_init__(self)
        ends_after(self.start, self.end)


class CampaignCreated(Message, frozen=True):
    """The campaign's id and that of its install request; ``vehicles`` and ``warning`` as of :class:`Queued`."""

    message: str
    campaign_id: Id
    install_request_id: Id
    vehicles: int | None = None
    warning: str | None = None


class RequestStatus(StrEnum):
    """How far an install request is, over all its vehicles.

    ``preparing``: it is still being written, and not queued yet; its counts show how far that is. Lists leave it out.
    ``scheduled``: its interval has not begun. ``running``: some updates are open. When none is open it is ``completed``
    where at least one package was installed and ``failed`` where none was; or ``stopped`` or ``cancelled``, where an
    operator ended it. ``paused`` is reserved.
    """

    PREPARING = "preparing"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether none of the request's updates is open."""
        return self in ENDED_REQUEST


ENDED_REQUEST = (RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.STOPPED, RequestStatus.CANCELLED)


class Counts(Message, frozen=True):
    """How many of a request's updates are in each state."""

    pending: int
    in_flight: int
    installed: int
    failed: int
    cancelled: int


class InstallRequest(Message, frozen=True):
    """An install request and how it goes.

    ``left_out``: vehicles that got no update, ``left_out_reasons`` how many and why: ``installed_already``,
    ``not_installed``, ``downgrade``, ``unknown_vin``. Whom the Resolver left out is in its own records, of the ids
    that ``resolutions`` names.
    """

    install_request_id: Id
    package: PackageId
    priority: Priority
    interval: Interval
    status: RequestStatus
    counts: Counts
    left_out: int
    created_at: Instant
    name: str | None = None
    description: str | None = None
    left_out_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    resolutions: list[Id] = msgspec.field(default_factory=list)


class Update(Message, frozen=True):
    """One vehicle's update: where it stands, and how many bytes the vehicle has acknowledged.

    ``packages`` are prerequisites first, the package itself last. ``reason_text`` says the reason in words,
    ``ended_by`` who ended it, and ``result_text`` is the installer's own output.
    """

    update_id: Id
    install_request_id: Id
    vin: Vin
    package: PackageId
    packages: list[PackageId]
    status: UpdateStatus
    size: Size
    acknowledged: Size
    created_at: Instant
    changed_at: Instant
    stage: Stage | None = None
    reason: Reason | None = None
    ended_by: EndedBy | None = None
    reason_text: str | None = None
    result_code: int | None = None
    result_text: str | None = None
    completed_at: Instant | None = None


class RequestChanged(Message, frozen=True):
    """What a cancel, stop or retry did: how many updates it ended or created again, and how the request stands now.

    ``installing``: how many could not be stopped, since an installer is at work on them: their vehicles end them.
    """

    install_request_id: Id
    changed: int
    counts: Counts
    installing: int = 0


QueueOrder = Annotated[list[Id], Meta(max_length=10_000, description="every pending update of the vehicle, in order")]


class Blacklisting(Request, frozen=True):
    """Why a package must go to no vehicle any more."""

    comment: Annotated[str, Meta(min_length=1, max_length=4096)]


class Blacklisted(Message, frozen=True):
    """What blacklisting a package did: updates that it cancelled, and updates that go on."""

    message: str
    cancelled: int
    in_flight: int


class BlacklistPreview(Message, frozen=True):
    """What blacklisting a package would touch: updates, their vehicles, and vehicles that have the package."""

    pending: int
    in_flight: int
    vehicles: int
    installed_on: int


class CompletedInstall(Message, frozen=True):
    """A vehicle that has an install request's package, and since when."""

    vin: Vin
    completed_at: Instant


class Component(Request, frozen=True, omit_defaults=False):
    """A component (a control unit's kind), known by its part number."""

    part_number: PartNumber
    description: Description = ""
    name: ShortText | None = None


InstalledPackages = Annotated[list[InstalledPackage], Meta(max_length=10_000)]
