"""What is measured while a file streams, and a package's kind. Pure rules."""

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
        """Pass on the content and measure it."""
        async for part in content:
            if len(self.head) < len(DEBIAN_MAGIC):
                self.head += part[: len(DEBIAN_MAGIC) - len(self.head)]
            self.size += len(part)
            self._sha256.update(part)
            self._sha1.update(part)
            yield part

    def installer(self) -> str | None:
        """Return which installer takes the file, read from the file itself; None if it does not say."""
        return "deb" if self.head == DEBIAN_MAGIC else None


def new_key() -> str:
    """Return a new opaque key of a file: random, so that no external name is part of a path."""
    key = secrets.token_hex(16)
    return f"{key[:2]}/{key}"
