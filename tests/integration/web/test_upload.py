"""Uploads of a Web Server that runs as a process of its own: what it holds in memory, and what a kill leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.interaction import Role
from sota.kit.db import Database
from sota.kit.errors import SotaError, Unavailable
from sota.kit.http_client import HttpClient
from sota.web.accounts.service import issue_token
from tests.support.backend import Backend, new_name, running_backend
from tests.support.processes import ProgramProcess, free_ports
from tests.support.waiting import until

MIB = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    folder = tmp_path_factory.mktemp("backend")
    async with running_backend(
        folder, [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    ) as one:
        yield one


class WebProcess:
    """``sota web`` beside the backend of these tests."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.port, https_port = free_ports(2)
        self.repository, self._database = folder / "packages", f"sqlite:///{folder}/web.db"
        given = {
            **{name: backend.settings[name] for name in ("core_url", "resolver_url")},
            **{name: backend.settings[name] for name in ("core_token_file", "resolver_token_file")},
            "port": self.port,
            "https_port": https_port,
            "data": folder,
            "database": self._database,
            "repository": self.repository,
            "upload_note_s": 1.5,
        }
        options = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
        self._client: HttpClient | None = None
        self.process = ProgramProcess("web", ["web", *options], folder / "web.log")

    async def start(self) -> WebClient:
        """Start it; gives a client with a token."""
        self.process.start()
        probe = HttpClient(f"http://127.0.0.1:{self.port}")

        async def answers() -> bool:
            with contextlib.suppress(Unavailable):
                return (await probe.request("GET", "/api/v1/vehicles")).status == 401
            return False

        await until(answers, "the Web Server answers", latest=self.process.tail)
        await probe.close()
        database = Database(self._database)
        token = await issue_token(database, Role.OPERATOR, "tests")
        await database.close()
        await self.close()
        self._client = HttpClient(f"http://127.0.0.1:{self.port}", token=token, timeout_s=60)
        return WebClient(self._client)

    async def close(self) -> None:
        """Close our own connections."""
        if self._client is not None:
            await self._client.close()

    def memory(self) -> int:
        """Give the most memory that it ever had, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    def files(self) -> list[Path]:
        """List what is in the repository."""
        return [path for path in self.repository.rglob("*") if path.is_file()]


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
