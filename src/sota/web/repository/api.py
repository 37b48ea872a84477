"""Uploads of packages, metadata first and then the file; downloads of these files, and deletion."""

from __future__ import annotations

import asyncio

import msgspec

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import PackagePath
from sota.kit.errors import Invalid, Unavailable
from sota.web.gateway.answer import answering
from sota.web.repository.files import send
from sota.web.repository.multipart import UploadBody
from sota.web.repository.service import Uploads
from sota.web.repository.store import PackageRepository
from sota.web.settings import WebSettings
from sota.web.visitor import visitor_of


class RepositoryApi:
    """Takes uploads, a bounded number at the same time; returns files of packages, and deletes packages."""

    def __init__(
        self, uploads: Uploads, core: CoreClient, repository: PackageRepository, settings: WebSettings
    ) -> None:
        self._uploads, self._core, self._repository = uploads, core, repository
        self._max_package_bytes = settings.max_package_bytes
        self._gate = asyncio.Semaphore(settings.uploads_at_once)

    @serves("WL-B1-21")
    async def upload(self, call: Call[None, None, None]) -> Reply:
        """Store the file and register the package in both registers."""
        if self._gate.locked():
            raise Unavailable("Too many uploads at the same time: try again in a moment.")
        async with self._gate:
            body = UploadBody(
                call.headers.get("content-type", ""), call.stream(), max_file_bytes=self._max_package_bytes
            )
            metadata = _decode(await body.metadata())
            visitor_of(call).acting_on = f"package {metadata.name}/{metadata.version}"
            await self._uploads.store(metadata, body.file())
        return Reply("stored")

    @serves("X-B1-10")
    async def file(self, call: Call[PackagePath, None, None]) -> Reply:
        """Send a package's file, or a range of it."""
        with answering(call.row):
            return await send(self._core, self._repository, call.path.package, call.headers)

    @serves("X-B1-11")
    async def delete(self, call: Call[PackagePath, None, None]) -> Reply:
        """Delete a package that is no longer needed."""
        with answering(call.row):
            await self._uploads.remove(call.path.package)
        return Reply("deleted")


def _decode(content: bytes) -> PackageMetadata:
    try:
        return msgspec.json.decode(content, type=PackageMetadata)
    except msgspec.ValidationError as error:
        raise Invalid(f"metadata: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The part 'metadata' is not JSON: {error}.") from None
