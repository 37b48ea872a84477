"""What ``sota up`` prints when its backend is ready: addresses, the first sign-in, and a token of an operator.

Rules kept here:

* the token is valid while this backend runs: it is revoked at the end, or at the next start after a kill;
* only the file's owner can read it; it appears complete when the backend is ready, and is deleted at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from datetime import timedelta
from pathlib import Path

from sota.boundaries.interaction import Role
from sota.cli.backend import Backend, Ports, assemble
from sota.cli.schemas import create_schemas
from sota.kit.errors import SotaError, StartError
from sota.kit.files.durable import write_atomic
from sota.kit.runtime.program import RunnableProgram
from sota.web.accounts import token_store
from sota.web.accounts.model import FIRST_ADMIN
from sota.web.accounts.service import issue_token
from sota.web.program import WebProgram

TOKEN_LIFETIME = timedelta(hours=12)
TOKEN_NAME = "sota up --json-ready"  # noqa: S105 - a name, no token


class Ready:
    """The backend of ``sota up``, with its ready message."""

    def __init__(self, data: Path, ports: Ports, database: str | None, *, prints: bool, file: Path | None) -> None:
        self._data, self._ports, self._database = data, ports, database
        self._prints, self._file = prints, file
        self._backend: Backend | None = None

    def prepare(self) -> None:
        """Create the schemas on a MariaDB server, and delete the file of a killed backend.

        Raises:
            StartError: the server refuses, or the file cannot be written.
        """
        if self._file is not None:
            try:
                self._file.unlink(missing_ok=True)
                write_atomic(self._file, b"")  # shows now, not when all is ready, whether it can be written
                self._file.unlink()
            except OSError as error:
                raise StartError(f"--ready-file {self._file}: {error.strerror}") from None
        if self._database is not None:
            asyncio.run(create_schemas(self._database))

    def make(self) -> list[RunnableProgram]:
        """Create the programs."""
        self._backend = assemble(self._data, self._ports, database=self._database)
        return list(self._backend.programs)

    async def announce(self) -> None:
        """Report that all are ready, and wait for the end."""
        if self._backend is None:
            return
        web = self._backend.web
        ready: dict[str, str | None] = {
            "console": f"https://localhost:{web.https_port}/",
            "api": f"http://127.0.0.1:{web.port}/api/v1",
            "certificate": str(web.certificate),
            "user": FIRST_ADMIN if web.first_password else None,
            "password": web.first_password,
        }
        await revoke_tokens(web)
        if not self._prints and self._file is None:
            greet(ready)
            await asyncio.Event().wait()
        try:
            ready["token"] = await issue_token(web.db, Role.OPERATOR, TOKEN_NAME, valid_for=TOKEN_LIFETIME)
            line = json.dumps(ready)
            if self._file is not None:
                write_atomic(self._file, f"{line}\n".encode())
            if self._prints:
                print(line, flush=True)
            await asyncio.Event().wait()
        finally:
            await self._take_back(web)

    async def _take_back(self, web: WebProgram) -> None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.unlink(missing_ok=True)
        with contextlib.suppress(SotaError):  # the database is down: the next start does it
            await revoke_tokens(web)


async def revoke_tokens(web: WebProgram) -> None:
    """Revoke the tokens of earlier starts."""
    now = web.clock.now()
    await web.db.transact(lambda tx: token_store.revoke_tokens(tx, TOKEN_NAME, now))


def greet(ready: dict[str, str | None]) -> None:
    """Print where the console is, and how to sign in for the first time."""
    lines = [f"SOTA is up. Console: {ready['console']}   API: {ready['api']}"]
    if ready["password"]:
        lines.append(f"First sign-in: {ready['user']} / {ready['password']} (you then choose your own)")
    print("\n".join(lines), file=sys.stderr, flush=True)
