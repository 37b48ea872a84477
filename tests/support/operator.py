"""An operator who types ``sota ctl`` commands at a terminal, against a running backend."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.backend import Backend

# How a command tells the request that it made.
REQUEST = re.compile(r"request ([0-9a-f-]{36})")


@dataclass
class Ended:
    """How a command ended."""

    code: int
    output: str
    errors: str


@dataclass
class Operator:
    """An operator at a terminal, with a token and a profile file."""

    backend: Backend
    home: Path
    token: str

    async def types(self, *arguments: str, code: int = 0, typed: str = "", **variables: str) -> Ended:
        """Type a command, and ``typed`` when it reads on; it must end with ``code``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOTA_")}
        url = f"http://127.0.0.1:{self.backend.web.port}"
        given = {"SOTA_URL": url, "SOTA_TOKEN": self.token, "HOME": str(self.home), **variables}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sota.cli", "ctl", *arguments,
            env={**kept, **{name: value for name, value in given.items() if value}},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            output, errors = await process.communicate(typed.encode())
        ended = Ended(process.returncode or 0, output.decode(), errors.decode())
        assert ended.code == code, ended
        return ended
