"""Uploads of a Web Server that runs as a process of its own: what it holds in memory, and what a kill leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.kit.errors import SotaError
from tests.support.backend import Backend, running_backend
from tests.support.names import new_name
from tests.support.waiting import until
from tests.support.web_process import WebProcess

MIB = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    folder = tmp_path_factory.mktemp("backend")
    async with running_backend(
        folder, [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    ) as one:
        yield one


async def mebibytes(count: int, *, pause_s: float = 0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield MIB
        if pause_s:
            await asyncio.sleep(pause_s)


async def test_a_large_file_is_never_in_memory(backend: Backend, tmp_path: Path) -> None:
    web = WebProcess(backend, tmp_path)
    client = await web.start()
    try:
        metadata = PackageMetadata(name=new_name("large"), version="1.0.0", installer="deb")
        await client.upload_package(metadata, mebibytes(4))
        before = web.memory()
        larger = PackageMetadata(name=new_name("large"), version="1.0.0", installer="deb")
        await client.upload_package(larger, mebibytes(400))
        assert web.memory() - before < 64 << 20
        assert sorted(path.stat().st_size >> 20 for path in web.files()) == [4, 400]
    finally:
        await web.close()
        await web.process.stop()


async def test_a_killed_upload_leaves_nothing(backend: Backend, tmp_path: Path) -> None:
    web = WebProcess(backend, tmp_path)
    client = await web.start()
    metadata = PackageMetadata(name=new_name("killed"), version="1.0.0", installer="deb")
    upload = asyncio.create_task(client.upload_package(metadata, mebibytes(200, pause_s=0.02)))

    async def is_half() -> bool:
        return any(path.stat().st_size > 0 for path in web.files())

    await until(is_half, "a part of the file is written")
    web.process.kill()
    with pytest.raises(SotaError):
        await upload
    assert web.files() != []
    client = await web.start()
    try:

        async def is_clean() -> bool:
            return web.files() == []

        await until(is_clean, "what was left is deleted", timeout_s=15)
        await client.upload_package(metadata, mebibytes(1))  # and the package can be uploaded
    finally:
        await web.close()
        await web.process.stop()
