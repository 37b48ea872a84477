"""The manifest of an update image: what is done in the vehicle, in order, and what each file in the image is.

It is JSON, read strictly: an unknown member is a slip or a newer format, and either way nothing is done.
``docs/reference/update-images.md`` describes it for authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sota.boundaries.values import ForeignText, Installer, PackageId, Sha256
from sota.kit.errors import Invalid

MANIFEST_LIMIT = 1 << 20
IMAGE = "image"
"""The name under which a package says that its file is an update image."""

OperationId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$(?!\n)")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,98}$(?!\n)")]
Argument = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_/][A-Za-z0-9._:/=+-]{0,199}$(?!\n)", description="never begins with -")
]
ArgumentName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$(?!\n)")]


class OnFailure(StrEnum):
    """What follows when an operation fails. What failed is put back by its own installer in any case."""

    ROLLBACK = "rollback"
    """The operations before it are taken back, the last one first, and the update fails."""
    ABORT = "abort"
    """The operations before it stay, none after it is begun, and the update fails."""
    CONTINUE = "continue"
    """The next one is begun; the update can still succeed."""


class Action(StrEnum):
    """What a ``run`` operation does; the vehicle's configuration says by which command."""

    FLASH = "flash"
    CREATE_PARTITION = "create_partition"
    DELETE_PARTITION = "delete_partition"
    RESIZE_PARTITION = "resize_partition"
    WRITE_PARTITION = "write_partition"
    PATCH_PARTITION = "patch_partition"
    START_COMPONENTS = "start_components"
    STOP_COMPONENTS = "stop_components"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the manifest."""


class _Operation(_Part, frozen=True, kw_only=True, tag_field="operation"):
    """What all operations have: an ``id``, and what follows when it fails."""

    id: OperationId
    on_failure: OnFailure = OnFailure.ROLLBACK


class Blacklisted(_Part, frozen=True):
    """A package in the vehicle beside which the operation must not be done; any version where none is said."""

    name: ForeignText
    installer: Installer
    version: ForeignText | None = None


class Install(_Operation, frozen=True, tag="install"):
    """Install a package from a file of the image by one of the vehicle's installers."""

    package: PackageId
    installer: Installer
    file: FileName
    allow_downgrade: bool = False
    blacklist: Annotated[list[Blacklisted], Meta(max_length=100)] = []


class Remove(_Operation, frozen=True, tag="remove"):
    """Remove a package."""

    package: PackageId
    installer: Installer


class Run(_Operation, frozen=True, tag="run"):
    """Run the vehicle's own command for an action, with the arguments that the vehicle's configuration takes."""

    action: Action
    file: FileName | None = None
    arguments: Annotated[Mapping[ArgumentName, Argument], Meta(max_length=20)] = {}


class Reboot(_Operation, frozen=True, tag="reboot"):
    """Reboot the vehicle, and continue after it."""


Operation = Install | Remove | Run | Reboot


class ImageFile(_Part, frozen=True):
    """A file of the image."""

    name: FileName
    size: Annotated[int, Meta(ge=0, le=(1 << 33) - 1)]
    sha256: Sha256


class Manifest(_Part, frozen=True):
    """``manifest.json``, the first file of an image."""

    format: Literal[1]
    package: PackageId
    operations: Annotated[list[Operation], Meta(min_length=1, max_length=100)]
    files: Annotated[list[ImageFile], Meta(max_length=200)] = []
    description: Annotated[str, Meta(max_length=4096)] = ""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        ids = [operation.id for operation in self.operations]
        names = [file.name for file in self.files]
        used = {name for operation in self.operations if (name := file_of(operation)) is not None}
        for what, values in (("operation", ids), ("file", names)):
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"there are two of the {what} {twice!r}")
        if used != set(names):
            raise ValueError(f"files and operations do not agree about {min(used ^ set(names))!r}")
        if any(isinstance(each, Install | Remove) and each.installer == IMAGE for each in self.operations):
            raise ValueError("an image cannot hold another image")


def file_of(operation: Operation) -> str | None:
    """Return the name of the file that an operation needs."""
    return operation.file if isinstance(operation, Install | Run) else None


_DECODER = msgspec.json.Decoder(Manifest, strict=True)


def parse(content: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        Invalid: it is not one; says where.
    """
    if len(content) > MANIFEST_LIMIT:
        raise Invalid(f"The manifest is longer than {MANIFEST_LIMIT} bytes.")
    try:
        return _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The manifest: {error}.") from None


def encode(manifest: Manifest) -> bytes:
    """Write a manifest; the same one gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"
