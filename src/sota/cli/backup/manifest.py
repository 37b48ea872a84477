"""The manifest of a backup: its databases, folders and files, with sizes, hashes and counts of rows.

The hashes show damage. They do not show who wrote the backup: keep it where only its owner can write.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

from sota.cli.schemas import PROGRAMS
from sota.kit.errors import StartError

FORMAT = 1
NAME = "manifest.json"
MAX_BYTES = 256 << 20
Engine = Literal["sqlite", "mariadb"]
PARTS = ("secrets", "authority", "identity", "web", "core", "packages", "etc")
"""The folders that a backup may hold; place.py says where each is."""

COMPONENT = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")


class SavedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table: how many rows it has and, on MariaDB, its columns and the next number that it would generate."""

    name: str
    rows: int
    columns: list[str] = []
    next_number: int | None = None


class SavedDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A program's database, at a revision of its tables."""

    revision: str
    tables: list[SavedTable]


class SavedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the backup, by its name there: ``databases/…`` or ``parts/PART/…``."""

    name: str
    size: int
    sha256: str
    mode: int = 0o600


class SavedFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder below a part, with its mode."""

    name: str
    mode: int = 0o700


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole manifest."""

    format: int
    product: str
    created_at: datetime
    engine: Engine
    databases: dict[str, SavedDatabase]
    parts: list[str]
    folders: list[SavedFolder]
    files: list[SavedFile]
    repository: str | None = None
    """Address of the object store that has the package files, which are then not in the backup."""
    package_files: int = 0

    @property
    def size_bytes(self) -> int:
        """Total bytes of all files."""
        return sum(file.size for file in self.files)


def decode(content: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        StartError: it is invalid, or names something that no backup contains.
    """
    try:
        if msgspec.json.decode(content, type=_Version).format != FORMAT:
            raise StartError("the backup was written by another version of this program: its format is not known")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, RecursionError):
        raise StartError("the backup's manifest cannot be read") from None
    if set(manifest.databases) != set(PROGRAMS) or not set(manifest.parts) <= set(PARTS):
        raise StartError("the backup holds databases or folders that are not known")
    for name in (*(folder.name for folder in manifest.folders), *(file.name for file in manifest.files)):
        check_name(name)
        if name.startswith("parts/") and name.split("/")[1] not in manifest.parts:
            raise StartError(f"the backup names a file of no part: {name!r}")
    if any(file.size < 0 for file in manifest.files):
        raise StartError("the backup names a file of less than no bytes")
    return manifest


def check_name(name: str) -> None:
    """Refuse a name that could lead out of its folder.

    Raises:
        StartError: it could.
    """
    components = name.split("/")
    is_safe = all(COMPONENT.fullmatch(part) and part not in (".", "..") for part in components)
    least = {"databases": 2, "parts": 3}.get(components[0])
    if not is_safe or least is None or len(components) < least:
        raise StartError(f"the backup has a file with a name that is not allowed: {name[:200]!r}")


class _Version(msgspec.Struct):
    format: int
