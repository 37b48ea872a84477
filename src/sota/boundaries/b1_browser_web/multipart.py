"""An upload as ``multipart/form-data`` (RFC 7578): part ``metadata``, then part ``file``, never whole in memory."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import msgspec

from sota.boundaries.b1_browser_web.messages import PackageMetadata


class Upload:
    """The body of B1-21: ``content_type`` names the boundary that ``parts`` uses."""

    def __init__(self, metadata: PackageMetadata, file: AsyncIterator[bytes], file_name: str = "package") -> None:
        self._metadata, self._file = metadata, file
        self._file_name = "".join(character for character in file_name if character.isalnum() or character in "._-")
        self._boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body part by part."""
        yield self._head('name="metadata"', "application/json") + msgspec.json.encode(self._metadata) + b"\r\n"
        yield self._head(f'name="file"; filename="{self._file_name}"', "application/octet-stream")
        async for part in self._file:
            yield part
        yield f"\r\n--{self._boundary}--\r\n".encode()

    def _head(self, disposition: str, content_type: str) -> bytes:
        lines = (
            f"--{self._boundary}",
            f"Content-Disposition: form-data; {disposition}",
            f"Content-Type: {content_type}",
        )
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
