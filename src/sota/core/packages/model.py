"""An uploaded package. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Package:
    """A registered package. ``uri`` is the opaque key of its file; ``signature`` is a DSSE envelope as JSON."""

    name: str
    version: str
    size: int
    sha256: str
    sha1: str
    uri: str
    installer: str
    target: str | None
    description: str
    vendor: str
    signature: str | None
    created_at: datetime
    blacklisted_at: datetime | None = None
    blacklist_comment: str | None = None

    @property
    def text(self) -> str:
        """The *Package ID*: ``ivi/2.1.0``."""
        return f"{self.name}/{self.version}"

    @property
    def signed(self) -> bool:
        """Whether it has a signature."""
        return self.signature is not None


def version_key(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a ``major.minor.patch`` for comparison, None for a foreign version.

    >>> version_key("1.10.0") > version_key("1.9.3")
    True
    """
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return tuple(int(part) for part in parts)


def is_older(version: str, than: str) -> bool:
    """Return whether ``version`` is older than another; False for foreign versions, which have no order."""
    one, other = version_key(version), version_key(than)
    return one is not None and other is not None and one < other
