"""``sota web`` as a process of its own beside a test's backend: what it holds in memory, and what a kill leaves."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.interaction import Role
from sota.kit.errors import Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.sql.database import Database
from sota.web.accounts.service import issue_token
from tests.support.backend import Backend
from tests.support.processes import ProgramProcess, free_ports
from tests.support.waiting import until


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
        """Start it; return a client with a token."""
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
        """Return its peak memory in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    def files(self) -> list[Path]:
        """List what is in the repository."""
        return [path for path in self.repository.rglob("*") if path.is_file()]
