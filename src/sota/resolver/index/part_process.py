"""Runs a process that holds a part of the fleet, and restarts it whenever it ends."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sota.kit.runtime.logging import get_logger
from sota.resolver.index.part import Orders
from sota.resolver.index.share import Share
from sota.resolver.settings import ResolverSettings

RESTART_S = 1.0
STOP_S = 5.0
COMMAND = (sys.executable, "-m", "sota.resolver.index.part")


class PartProcess:
    """One part's process, and its socket."""

    def __init__(self, settings: ResolverSettings, share: Share, folder: Path) -> None:
        self.share = share
        self.socket = folder / f"{share.number}.sock"
        self.process: asyncio.subprocess.Process | None = None
        # It may contain a password, which must not be among the arguments of a process.
        self._orders = Orders(settings, share.number, share.of, str(self.socket)).write()
        self._log = get_logger(program="resolver")

    async def keep(self) -> None:
        """Run it until cancelled."""
        while True:
            try:
                code = await self._run()
            except OSError as error:
                self._log.error("index_process_not_started", part=self.share.number + 1, reason=str(error))
            else:
                self._log.error("index_process_ended", part=self.share.number + 1, code=code)
            await asyncio.sleep(RESTART_S)

    async def _run(self) -> int:
        process = await asyncio.create_subprocess_exec(*COMMAND, stdin=asyncio.subprocess.PIPE)
        self.process = process
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            process.stdin.write(self._orders)
            return await process.wait()
        finally:
            process.stdin.close()
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
