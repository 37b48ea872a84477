"""Values that cross several boundaries: their alphabets and limits, in one place.

A value that is decoded into one of these types is valid and is not checked again further in. Each pattern ends in
``$(?!\\n)`` because Python's ``$`` also matches before a last line feed.

>>> import msgspec
>>> msgspec.convert({"name": "ivi", "version": "2.1.0"}, PackageId).text
'ivi/2.1.0'
>>> msgspec.convert("wvw00000000000001", Vin)
Traceback (most recent call last):
msgspec.ValidationError: Expected `str` matching regex '^[A-Z0-9]{17}$(?!\\n)'
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

MESSAGE_LIMIT = 1 << 20
BATCH_LIMIT = 8 << 20

Vin = Annotated[str, Meta(pattern=r"^[A-Z0-9]{17}$(?!\n)", description="17 capital letters and digits")]
PackageName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.+_-]{1,100}$(?!\n)")]
Version = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$(?!\n)",
        description="major.minor.patch, in decimal without leading zeros",
    ),
]
PACKAGE_TEXT = (
    r"^[A-Za-z0-9.+_-]{1,100}/(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$(?!\n)"  # NAME/VERSION
)
PartNumber = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{2,100}$(?!\n)")]
FilterName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{2,100}$(?!\n)")]
Label = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$(?!\n)", description="the name of an attribute or of a group")
]
FilterText = Annotated[str, Meta(max_length=65_536, description="an expression of the filter language")]
ForeignText = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,128}$(?!\n)", description="printable; what a vehicle reports may be foreign"
    ),
]
Description = Annotated[str, Meta(max_length=4096)]
ShortText = Annotated[str, Meta(max_length=200)]
Priority = Annotated[int, Meta(ge=1, le=100, description="1 is first")]
Percent = Annotated[int, Meta(ge=0, le=100)]
Size = Annotated[int, Meta(ge=0, le=1 << 50, description="bytes")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Sha1 = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]
Installer = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$(?!\n)", description="which installer takes the file: deb")
]
Target = Annotated[str, Meta(min_length=1, max_length=100, description="the control unit that the file is for")]
Instant = Annotated[datetime, Meta(tz=True)]
"""A moment with its zone. A message with one is :class:`Timed`: some moments of a zone do not exist in UTC."""
Id = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)", description="a UUIDv7"),
]
DownloadIndex = Annotated[int, Meta(ge=1, le=(1 << 63) - 1, description="counts a VIN's downloads: a handle")]
Epoch = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", description="one life of a vehicle in Core's register; random")
]
BlockIndex = Annotated[int, Meta(ge=1, le=1 << 31, description="from 1")]
Blocks = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,9}(-[1-9][0-9]{0,9})?(,[1-9][0-9]{0,9}(-[1-9][0-9]{0,9})?)*)?$(?!\n)",
        max_length=65_536,
        description="ranges of block numbers: 1-10,12",
    ),
]
ServiceName = Annotated[str, Meta(min_length=1, max_length=200)]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A body on the wire. An absent member is None; unknown members, which a newer program adds, are ignored."""


class Request(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that a person or a back-office system writes: an unknown member is a mistake and is refused."""


class Timed(Message, frozen=True):
    """A message with moments, each of which must lie in the years 1 to 9999 of UTC."""

    def __post_init__(self) -> None:
        """Refuse a moment that cannot be stored or compared, such as one on the first or the last day of a zone."""
        for name in self.__struct_fields__:
            moment = getattr(self, name)
            if isinstance(moment, datetime):
                in_utc(moment)


class PackageId(Message, frozen=True, order=True):
    """A package that was, or could be, uploaded."""

    name: PackageName
    version: Version

    @property
    def text(self) -> str:
        """The *Package ID* of the whitelist's messages: ``ivi/2.1.0``."""
        return f"{self.name}/{self.version}"


class DownloadIdentity(Message, frozen=True):
    """Which download is meant. An index alone is a handle: it may come again after a restore or a new registration."""

    update_id: Id
    package: PackageId
    sha256: Sha256


class InstalledPackage(Message, frozen=True, order=True):
    """A package as a vehicle reports it: any printable name and version (docs/specification.md, ruling 19)."""

    name: ForeignText
    version: ForeignText

    @property
    def text(self) -> str:
        """Name and version in one word: ``ivi/2.1.0``."""
        return f"{self.name}/{self.version}"


class Interval(Timed, frozen=True):
    """When an update may be installed: from ``start`` until before ``end``."""

    start: Instant
    end: Instant

    def __post_init__(self) -> None:
        """Refuse an interval that ends before it starts."""
        Timed.__post_init__(self)
        ends_after(self.start, self.end)


class EnvelopeSignature(Message, frozen=True):
    """One signature of an envelope: the key's id and the signature in base64."""

    keyid: Annotated[str, Meta(max_length=200)]
    sig: Annotated[str, Meta(max_length=2048)]


class SignatureEnvelope(Message, frozen=True, rename={"payload_type": "payloadType"}):
    """A DSSE envelope over a package's name, version, size, SHA-256, installer and target."""

    payload: Annotated[str, Meta(max_length=16_384)]
    payload_type: Annotated[str, Meta(max_length=200)]
    signatures: Annotated[list[EnvelopeSignature], Meta(min_length=1, max_length=16)]


class MessageOnly(Message, frozen=True):
    """An answer that is the row's message and no more."""

    message: str


class OutcomeReport(Message, frozen=True):
    """A row's outcome travelling as data, where no HTTP answer can carry it (docs/specification.md, ruling 12)."""

    status: Annotated[int, Meta(ge=100, le=599)]
    message: Annotated[str, Meta(max_length=400)]
    code: Annotated[str, Meta(max_length=100)] | None = None
    """The outcome's name; vehicles of earlier releases do not send it."""


class Command(StrEnum):
    """What the vehicle does with a package."""

    INSTALL = "install"
    REMOVE = "remove"


class UpdateStatus(StrEnum):
    """Where an update of one vehicle stands (docs/specification.md, ruling 16)."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    INSTALLED = "installed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the status is final."""
        return self in {UpdateStatus.INSTALLED, UpdateStatus.FAILED, UpdateStatus.CANCELLED}


class Stage(StrEnum):
    """How far an update that is ``in_flight`` has come."""

    NOTIFIED = "notified"
    ACCEPTED = "accepted"
    TRANSFERRING = "transferring"
    TRANSFERRED = "transferred"
    INSTALLING = "installing"
    BOOTING = "booting"
    VERIFYING = "verifying"


BEGUN = frozenset({Stage.INSTALLING, Stage.BOOTING, Stage.VERIFYING})
"""Stages in which an installer is at work: only the vehicle ends an update then."""


class Reason(StrEnum):
    """Why an update ``failed`` or was ``cancelled``."""

    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"
    DECLINED = "declined"
    ABORTED = "aborted"
    VERIFICATION_FAILED = "verification_failed"
    INSTALL_FAILED = "install_failed"
    DEPENDENCY = "dependency"
    UNREACHABLE = "unreachable"
    DATA_PLAN = "data_plan"
    CANCELLED = "cancelled"
    BLACKLISTED = "blacklisted"
    RETIRED = "retired"


class EndedBy(StrEnum):
    """Who ended an update (docs/specification.md, ruling 16)."""

    OPERATOR = "operator"
    VEHICLE = "vehicle"
    DRIVER = "driver"
    CORE = "core"


def in_utc(moment: datetime) -> datetime:
    """Move a moment to UTC.

    Raises:
        ValueError: UTC has no such moment, as of ``9999-12-31T23:59:59-14:00``.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment must be in the years 1 to 9999 of UTC") from None


def ends_after(start: datetime, end: datetime) -> None:
    """Refuse a start that is not before its end.

    Raises:
        ValueError: msgspec turns it into a ValidationError, the edge into 400.
    """
    if start >= end:
        raise ValueError("the start must be before the end")


def short_vin(vin: str) -> str:
    """Shorten a VIN, for logs at info level: ``WVW…0042``."""
    return f"{vin[:3]}…{vin[-4:]}" if len(vin) > 8 else vin
