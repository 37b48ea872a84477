"""What is measured of a file while it streams, and what kind of package it is. Pure rules."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

DEBIAN_MAGIC = b"!<arch>\ndebian-binary"


@dataclass(slots=True)
class Measured:
    """Size, hashes and first bytes of a file that passes through :meth:`watch`."""

    size: int = 0
    head: bytes = b""
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    _sha1: hashlib._Hash = field(default_factory=lambda: hashlib.sha1(usedforsecurity=False))

    @property
    def sha256(self) -> str:
        """The file's SHA-256, in hex."""
        return self._sha256.hexdigest()

    @property
    def sha1(self) -> str:
        """The file's SHA-1, in hex: the original clients compare it."""
        return self._sha1.hexdigest()

    async def watch(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass the content on, measuring it."""
        async for part in content:
            if len(self.head) < len(DEBIAN_MAGIC):
                self.head += part[: len(DEBIAN_MAGIC) - len(self.head)]
            self.size += len(part)
            self._sha256.update(part)
            self._sha1.update(part)
            yield part

    def installer(self) -> str | None:
        """Tell from the file itself which installer takes it; None where it does not say."""
        return "deb" if self.head == DEBIAN_MAGIC else None


def new_key() -> str:
    """Make the opaque key of a file: random, so that no name from outside is ever part of a path."""
    key = secrets.token_hex(16)
    return f"{key[:2]}/{key}"
