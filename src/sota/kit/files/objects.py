"""An object store: a folder on one machine, or S3 for several, selected by one address.

``var/packages`` or ``/srv/packages`` is a folder, ``s3://BUCKET/PREFIX`` a bucket (credentials come from the
environment, as the AWS tools read them). An object is found by its key, never by a name that a user chose.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from sota.kit.errors import Failed, StartError
from sota.kit.files.durable import mode_in, private_folder, sync, sync_folder
from sota.kit.runtime import faults

if TYPE_CHECKING:
    from obstore.store import RetryConfig

PART_BYTES = 5 << 20  # the smallest part that S3 accepts
PARTS_AT_ONCE = 2
READ_BYTES = 256 << 10
READ_TIMEOUT_S = 30.0
ABORT_TIMEOUT_S = 10.0
# The client's default would retry for three minutes, longer than callers wait.
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}


class Objects:
    """A place for objects."""

    def __init__(self, address: str) -> None:
        self.folder: Path | None = None
        try:
            if address.startswith("s3://"):
                self._store: ObjectStore = from_url(address, retry_config=RETRIES)
            elif "://" in address:
                self._store = from_url(address)
            else:
                self.folder = Path(address).absolute()
                private_folder(self.folder)
                self._store = LocalStore(self.folder)
        except (BaseError, ValueError, OSError) as error:
            raise StartError(f"repository {address!r} cannot be used: {error}") from None

    async def put(self, key: str, content: AsyncIterator[bytes]) -> None:
        """Write an object, with only a few parts in memory; return when it is complete and durable.

        An exception of ``content`` is raised unchanged; then no object is left behind.

        Raises:
            Failed: it cannot be stored.
        """
        source = _Source(content)
        writing = asyncio.ensure_future(
            obstore.put_async(
                self._store,
                key,
                source.parts(),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        )
        try:
            with _failing("The file cannot be stored"):
                await asyncio.shield(writing)
                faults.before("Objects.put")
                if self.folder is not None:
                    await asyncio.to_thread(_finish, self.folder, self.folder / key)
                faults.after("Objects.put")
        finally:
            if not writing.done():  # cancelled: the store would keep the parts of a write that is just dropped
                source.stop()
                await asyncio.wait({writing}, timeout=ABORT_TIMEOUT_S)
                writing.add_done_callback(_forget)
                writing.cancel()

    async def delete(self, key: str) -> None:
        """Delete an object, and remains of an interrupted write; it need not exist.

        Raises:
            Failed: it cannot be deleted now.
        """
        with _failing("The file cannot be deleted"), contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)
        if self.folder is not None:
            await asyncio.to_thread(_delete_parts, self.folder / key)

    async def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        with _failing("The repository does not answer"), contextlib.suppress(FileNotFoundError):
            await obstore.head_async(self._store, key)
            return True
        return False

    async def get(self, key: str, start: int, length: int) -> bytes:
        """Read a range of an object.

        Raises:
            Failed: it is not there, or cannot be read now.
        """
        with _failing("The file cannot be read"):
            return bytes(await obstore.get_range_async(self._store, key, start=start, length=length))

    async def open(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Open a range of an object; yield its bytes part by part.

        Raises:
            Failed: it is not there, or cannot be read now. Later, while it is read, too.
        """
        with _failing("The file cannot be read"):
            async with asyncio.timeout(READ_TIMEOUT_S):
                found = await obstore.get_async(self._store, key, options={"range": (start, start + length)})
            return _read(aiter(found.stream(min_chunk_size=READ_BYTES)))


class _Source:
    """Content to write, and a way to abort the writer."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content, self._is_stopped = content, False
        self._reader: asyncio.Task[Any] | None = None  # Any: whichever task reads

    async def parts(self) -> AsyncIterator[bytes]:
        while not self._is_stopped:
            self._reader = asyncio.current_task()
            try:
                part = await anext(self._content, None)
            except asyncio.CancelledError:
                break
            finally:
                self._reader = None
            if part is None:
                return
            yield part
        raise InterruptedError("the write is aborted")  # the only way to make a store delete the parts it has

    def stop(self) -> None:
        self._is_stopped = True
        if self._reader is not None:
            self._reader.cancel()


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turn errors of the store into ours."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise Failed(f"{what}: {type(error).__name__}.") from error


async def _read(parts: AsyncIterator[Any]) -> AsyncIterator[bytes]:  # Any: obstore's buffers
    while True:
        with _failing("The file cannot be read"):
            async with asyncio.timeout(READ_TIMEOUT_S):
                part = await anext(parts, None)
        if part is None:
            return
        yield bytes(part)


def _forget(writing: asyncio.Future[Any]) -> None:  # Any: its result is not read
    if not writing.cancelled():
        writing.exception()  # its abort needs no report


def _finish(repository: Path, path: Path) -> None:
    with path.open("rb") as file:
        mode = mode_in(repository)  # the store's own client would use the umask
        os.fchmod(file.fileno(), mode)
        sync(file.fileno())
    if path.parent != repository:
        path.parent.chmod(0o2700 | (mode & 0o040) | (mode & 0o040) >> 2)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def _delete_parts(path: Path) -> None:
    # A folder store writes to "<key>#<n>" and renames; a kill in between leaves that file.
    for part in path.parent.glob(f"{path.name}#*"):
        part.unlink(missing_ok=True)
