"""The package repository in an S3 bucket: a local S3 server, the real Web Server and Core."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator

import pytest

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.interaction import Role
from sota.core.transfers.model import Download, DownloadState
from sota.core.transfers.sending.blocks import Blocks
from sota.kit.errors import Invalid, SotaError, Unavailable
from sota.kit.ranges import Ranges
from sota.kit.runtime.clock import new_id
from sota.web.repository.model import Measured, new_key
from sota.web.repository.store import PackageRepository
from tests.support.backend import Backend, running_backend
from tests.support.names import new_name
from tests.support.s3 import S3Server, running_s3
from tests.support.waiting import until

# boto3 and moto look at the time in a way that Python no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
MIB = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture(scope="module")
async def backend(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    folder = tmp_path_factory.mktemp("backend")
    databases = [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    async with running_backend(folder, databases, repository=s3.address("live")) as running:
        yield running


def a_download(key: str, size: int, block_size: int) -> Download:
    return Download(
        vin="WVWZZZ1KZ7W000001",
        download_index=1,
        update_id=new_id(),
        request_id=new_id(),
        package=("ivi", "1.0.0"),
        size=size,
        block_size=block_size,
        received=Ranges(),
        state=DownloadState.TRANSFERRING,
        update_status="in_flight",
        command="install",
        uri=key,
        sha256="",
        sha1="",
        installer="deb",
        target=None,
        signature=None,
        epoch="e" * 16,
    )


async def mebibytes(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield MIB


@pytest.mark.whitelist("WL-B13-1", "success")
@pytest.mark.parametrize("count", [1, 12], ids=["in one request", "in parts"])
async def test_file_is_written_whole(s3: S3Server, count: int) -> None:
    prefix = new_name("whole")
    repository, key, measured = PackageRepository(s3.address(prefix)), new_key(), Measured()
    assert await repository.write(key, measured.watch(mebibytes(count))) == "success"
    assert s3.content(f"{prefix}/{key}") == MIB * count
    assert measured.sha256 == hashlib.sha256(MIB * count).hexdigest()
    assert (s3.keys(prefix), s3.unfinished()) == ([f"{prefix}/{key}"], [])
    assert await repository.exists(key)
    await repository.delete(key)
    await repository.delete(key)
    assert not await repository.exists(key)


@pytest.mark.whitelist("WL-B13-1", "failure")
async def test_file_that_cannot_be_written_is_a_failure(s3: S3Server) -> None:
    repository = PackageRepository("s3://no-such-bucket/packages")
    assert await repository.write(new_key(), mebibytes(12)) == "failure"
    assert s3.unfinished() == []


async def test_store_that_is_away_is_a_failure_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    repository = PackageRepository("s3://packages/away")
    async with asyncio.timeout(40):
        assert await repository.write(new_key(), mebibytes(12)) == "failure"


async def test_interrupted_write_leaves_nothing(s3: S3Server) -> None:
    prefix = new_name("interrupted")
    repository = PackageRepository(s3.address(prefix))

    async def broken() -> AsyncIterator[bytes]:
        async for part in mebibytes(12):
            yield part
        raise Invalid("the connection ended")

    with pytest.raises(Invalid):
        await repository.write(new_key(), broken())
    assert (s3.keys(prefix), s3.unfinished()) == ([], [])


async def test_cancelled_write_leaves_nothing(s3: S3Server) -> None:
    """A time-out, a program that stops: the store forgets the parts that it has."""
    prefix = new_name("cancelled")
    repository = PackageRepository(s3.address(prefix))

    async def endless() -> AsyncIterator[bytes]:
        async for part in mebibytes(12):
            yield part
        await asyncio.Event().wait()

    writing = asyncio.create_task(repository.write(new_key(), endless()))

    async def has_begun() -> bool:
        return bool(await asyncio.to_thread(s3.unfinished))

    await until(has_begun, "the upload in parts has begun")
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (s3.keys(prefix), s3.unfinished()) == ([], [])


async def test_package_is_uploaded_read_back_and_deleted(backend: Backend, s3: S3Server) -> None:
    content, name = MIB * 11 + b"the end", new_name("package")
    answer = await backend.upload({"name": name, "version": "1.0.0", "installer": "deb"}, content)
    assert answer.status == 200
    (key,) = s3.keys("live/")
    assert s3.content(key) == content
    path = f"/api/v1/packages/{name}/1.0.0"
    whole = await backend.ask("GET", f"{path}/file")
    part = await backend.ask("GET", f"{path}/file", headers={"range": "bytes=11534330-"})
    assert (whole.status, whole.body) == (200, content)
    assert (part.status, part.body) == (206, content[11534330:])
    assert (await backend.ask("DELETE", path, role=Role.ADMIN)).status == 200
    assert (s3.keys("live/"), s3.unfinished()) == ([], [])


async def test_upload_that_breaks_off_leaves_nothing(backend: Backend, s3: S3Server) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for part in mebibytes(12):
            yield part
        raise ConnectionResetError

    client = await backend.api(Role.OPERATOR)
    metadata = PackageMetadata(name=new_name("broken"), version="1.0.0", installer="deb")
    with pytest.raises((SotaError, ConnectionResetError)):
        await client.upload_package(metadata, broken())

    async def is_clean() -> bool:
        await backend.web.uploads.sweep()
        return (s3.keys("live/"), s3.unfinished()) == ([], [])

    await until(is_clean, "nothing is left in the bucket", timeout_s=15)
    assert (await backend.ask("GET", f"/api/v1/packages/{metadata.name}/1.0.0")).status == 404


async def test_core_reads_blocks_of_a_file_in_the_bucket(s3: S3Server) -> None:
    prefix, key = new_name("blocks"), new_key()
    await PackageRepository(s3.address(prefix)).write(key, mebibytes(6))
    blocks = Blocks(s3.address(prefix))
    size, block_size = len(MIB) * 6, 65_536 + 1
    download = a_download(key, size, block_size)
    count = -(-size // block_size)
    read = [await blocks.read(download, index) for index in (1, 2, count)]
    content = MIB * 6
    assert read == [content[:block_size], content[block_size : 2 * block_size], content[(count - 1) * block_size :]]
    s3.client.delete_object(Bucket="packages", Key=f"{prefix}/{key}")
    with pytest.raises(Unavailable):
        await blocks.read(download, 1)
