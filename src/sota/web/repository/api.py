"""B1-21: upload a package, its metadata first and then its file."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.interaction import serves
from sota.kit.errors import Invalid, Unavailable
from sota.kit.http_message import Call, Reply
from sota.web.repository.multipart import UploadBody
from sota.web.repository.service import Uploads


class RepositoryApi:
    """Takes uploads, a bounded number at the same time."""

    def __init__(self, uploads: Uploads, *, max_package_bytes: int, at_once: int) -> None:
        self._uploads, self._max_package_bytes = uploads, max_package_bytes
        self._gate = asyncio.Semaphore(at_once)

    @serves("WL-B1-21")
    async def upload(self, call: Call[Any]) -> Reply:
        """Store the file and register the package in both registers."""
        if self._gate.locked():
            raise Unavailable("Too many uploads at the same time: try again in a moment.")
        async with self._gate:
            body = UploadBody(
                call.headers.get("content-type", ""), call.stream(), max_file_bytes=self._max_package_bytes
            )
            metadata = _decode(await body.metadata())
            call.caller.acting_on = f"package {metadata.name}/{metadata.version}"
            await self._uploads.store(metadata, body.file())
        return Reply("stored")


def _decode(content: bytes) -> PackageMetadata:
    try:
        return msgspec.json.decode(content, type=PackageMetadata)
    except msgspec.ValidationError as error:
        raise Invalid(f"metadata: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The part 'metadata' is not JSON: {error}.") from None
