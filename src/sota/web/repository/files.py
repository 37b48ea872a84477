"""Sending a package's file: whole, a range of it, or 'not modified' (RFC 9110).

Rules kept here:

* the file's SHA-256 is its entity tag: strong, and the same on every Web Server;
* one range is served; several ranges, or another unit, are answered with the whole file, as HTTP allows;
* a range is served only if ``If-Range`` names this file; a date there never does;
* only what is being sent is in memory.

>>> range_of({"range": "bytes=-500"}, 2000, '"x"')
(1500, 500)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.binding.call import Reply
from sota.boundaries.values import PackageId
from sota.kit.errors import Failed, Refused, Unavailable
from sota.web.repository.store import PackageRepository

FILE = "application/octet-stream"
RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')


async def send(
    core: CoreClient, repository: PackageRepository, package: PackageId, headers: Mapping[str, str]
) -> Reply:
    """Open the file, or its range, that a request with these headers asks for: Core knows where it lies.

    Raises:
        Refused: ``not_found``, or ``out_of_range``.
        Unavailable: Core or the repository is down.
    """
    file = await core.package_file(package)
    tag = f'"{file.sha256}"'
    sent = {"etag": tag, "accept-ranges": "bytes", "cache-control": "private, no-cache"}
    if is_there(headers, tag):
        return Reply("unchanged", headers=sent, raw=b"", content_type=FILE)
    part = range_of(headers, file.size, tag)
    start, length = part or (0, file.size)
    try:
        content = await repository.open(file.uri, start, length)
    except Failed as error:
        raise Unavailable(f"The file of {package.text}: {error.detail}") from error
    sent |= {
        "content-length": str(length),
        "content-disposition": f'attachment; filename="{package.name}-{package.version}"',
    }
    if part is not None:
        sent["content-range"] = f"bytes {start}-{start + length - 1}/{file.size}"
    return Reply("sent" if part is None else "partial", headers=sent, stream=content, content_type=FILE)


def is_there(headers: Mapping[str, str], tag: str) -> bool:
    """Return whether the caller has this file already."""
    given = headers.get("if-none-match", "").strip()
    return given == "*" or tag in (found.removeprefix("W/") for found in ENTITY_TAG.findall(given))


def range_of(headers: Mapping[str, str], size: int, tag: str) -> tuple[int, int] | None:
    """Return start and length of the range to send; None for the whole file.

    Raises:
        Refused: ``out_of_range``.
    """
    match = RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", tag).strip() != tag:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return None  # not a valid range: HTTP ignores it
    if start >= size:
        raise Refused(
            "out_of_range", f"The file has {size} bytes.", status=416, headers={"content-range": f"bytes */{size}"}
        )
    return start, end - start
