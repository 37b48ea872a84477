"""A large package: up, down, and killed in the middle. The bytes are made as they are sent, and lie on disk once.

It has 384 MiB, and 2 GiB in ``make faults``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.values import PackageId
from sota.kit.errors import SotaError
from tests.support.backend import Backend, running_backend
from tests.support.names import new_name
from tests.support.thorough import IS_THOROUGH
from tests.support.waiting import until
from tests.support.web_process import WebProcess

pytestmark = pytest.mark.slow

MIB = bytes(range(256)) * 4096
SIZE_MIB = 2048 if IS_THOROUGH else 384
ALLOWED = 64 << 20


@pytest.fixture(scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    folder = tmp_path_factory.mktemp("backend")
    databases = [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    async with running_backend(folder, databases) as running:
        yield running


def package() -> PackageMetadata:
    return PackageMetadata(name=new_name("big"), version="1.0.0", installer="deb")


async def mebibytes(count: int, digest: hashlib._Hash | None = None) -> AsyncIterator[bytes]:
    """Make them: each begins with its own number, so that none can be taken for another."""
    for number in range(count):
        part = b"%016d" % number + MIB[16:]
        if digest is not None:
            digest.update(part)
        yield part


def throw_away(web: WebProcess) -> None:
    """Leave no gigabytes behind: pytest keeps its folders for a while."""
    for path in web.files():
        path.unlink()


async def test_large_package_is_never_in_memory(backend: Backend, tmp_path: Path) -> None:
    web = WebProcess(backend, tmp_path)
    client = await web.start()
    try:
        await client.upload_package(package(), mebibytes(8))
        before, metadata, digest = web.memory(), package(), hashlib.sha256()
        await client.upload_package(metadata, mebibytes(SIZE_MIB, digest))
        uploaded = web.memory()
        print(f"memory rose by {(uploaded - before) >> 20} MiB")
        assert uploaded - before < ALLOWED
        id_ = PackageId(name=metadata.name, version=metadata.version)
        known = await client.package(id_)
        assert (known.size, known.sha256) == (SIZE_MIB << 20, digest.hexdigest())
        size = 0
        async with client.package_file(id_) as response:
            async for part in response.chunks():
                size += len(part)
        assert size == SIZE_MIB << 20
        assert web.memory() - uploaded < ALLOWED
    finally:
        await web.close()
        await web.process.stop()
        throw_away(web)


async def test_kill_in_the_middle_leaves_repository_and_registers_as_they_were(
    backend: Backend, tmp_path: Path
) -> None:
    web = WebProcess(backend, tmp_path)
    client = await web.start()
    kept, killed = package(), package()
    await client.upload_package(kept, mebibytes(8))
    before = await backend.ask("GET", "/api/v1/packages")
    (file,) = web.files()
    upload = asyncio.create_task(client.upload_package(killed, mebibytes(SIZE_MIB)))

    async def is_half() -> bool:
        return sum(path.stat().st_size for path in web.files()) > SIZE_MIB << 19

    try:
        await until(is_half, "half of it is written", timeout_s=120)
        web.process.kill()
        with pytest.raises(SotaError):
            await upload
        assert (await backend.ask("GET", "/api/v1/packages")).body == before.body
        client = await web.start()

        async def is_clean() -> bool:
            return web.files() == [file]

        await until(is_clean, "what was left of it is deleted", timeout_s=20)
        assert (await backend.ask("GET", "/api/v1/packages")).body == before.body
        assert file.stat().st_size == 8 << 20
        await client.upload_package(killed, mebibytes(1))  # the name is free
    finally:
        await web.close()
        await web.process.stop()
        throw_away(web)
