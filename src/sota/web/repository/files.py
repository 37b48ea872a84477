"""Sending a package's file: whole, a range of it, or 'not modified' (RFC 9110).

Rules kept here:

* the file's SHA-256 is its entity tag: strong, and the same on every Web Server;
* one range is served; several ranges, or another unit, are answered with the whole file, as HTTP allows;
* a range is served only if ``If-Range`` names this file; a date there never does;
* only what is being sent is in memory.

>>> FileRequest.of({"range": "bytes=-500"}).range_of(2000, '"x"')
Range(start=1500, length=500)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.binding.call import Reply
from sota.boundaries.values import PackageId
from sota.kit.errors import Failed, Refused, Unavailable
from sota.web.repository.store import PackageRepository

FILE = "application/octet-stream"
RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Range:
    """A range of the file."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What the request's headers ask for."""

    range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> FileRequest:
        """Read the request's headers."""
        return cls(headers.get("range"), headers.get("if-range"), headers.get("if-none-match"))

    def is_there(self, tag: str) -> bool:
        """Return whether the caller has this file already."""
        given = (self.if_none_match or "").strip()
        return given == "*" or tag in (found.removeprefix("W/") for found in ENTITY_TAG.findall(given))

    def range_of(self, size: int, tag: str) -> Range | None:
        """Return the range to send; None for the whole file.

        Raises:
            Refused: ``out_of_range``.
        """
        match = RANGE.fullmatch((self.range or "").strip())
        if match is None or (self.if_range is not None and self.if_range.strip() != tag):
            return None
        first, last = match.groups()
        if not first and not last:
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if first and last and int(last) < int(first):
            return None  # not a valid range: HTTP ignores it
        if start >= size:
            headers = {"content-range": f"bytes */{size}"}
            raise Refused("out_of_range", f"The file has {size} bytes.", status=416, headers=headers)
        return Range(start, end - start)


class PackageFiles:
    """The files behind packages: Core knows where one lies, the repository has it."""

    def __init__(self, core: CoreClient, repository: PackageRepository) -> None:
        self._core, self._repository = core, repository

    async def send(self, package: PackageId, request: FileRequest) -> Reply:
        """Open the requested file or range.

        Raises:
            Refused: ``not_found``, or ``out_of_range``.
            Unavailable: Core or the repository is down.
        """
        file = await self._core.package_file(package)
        tag = f'"{file.sha256}"'
        headers = {"etag": tag, "accept-ranges": "bytes", "cache-control": "private, no-cache"}
        if request.is_there(tag):
            return Reply("unchanged", headers=headers, raw=b"", content_type=FILE)
        part = request.range_of(file.size, tag)
        start, length = (part.start, part.length) if part is not None else (0, file.size)
        try:
            content = await self._repository.open(file.uri, start, length)
        except Failed as error:
            raise Unavailable(f"The file of {package.text}: {error.detail}") from error
        headers |= {
            "content-length": str(length),
            "content-disposition": f'attachment; filename="{package.name}-{package.version}"',
        }
        if part is None:
            return Reply("sent", headers=headers, stream=content, content_type=FILE)
        headers["content-range"] = f"bytes {start}-{start + length - 1}/{file.size}"
        return Reply("partial", headers=headers, stream=content, content_type=FILE)
