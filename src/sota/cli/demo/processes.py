"""The demo's processes: backend and vehicles run as the commands that a user would type."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from sota.kit.errors import StartError

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


def free_ports(count: int) -> list[int]:
    """Find free ports, below those of outgoing connections (32768 and up on Linux)."""
    found: list[int] = []
    candidates = iter(random.SystemRandom().sample(range(20_000, 32_000), 1000))
    while len(found) < count:
        port = next(candidates)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


class Processes:
    """Starts commands of ``sota``, keeps their logs, ends them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, asyncio.subprocess.Process] = {}
        logs.mkdir(parents=True, exist_ok=True)

    async def start(
        self, name: str, *arguments: str, read_ready: bool = False, environment: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Start ``sota <arguments>``; with ``read_ready`` wait for its line of JSON and return it.

        ``environment`` is for values that must not be in the list of processes.

        Raises:
            StartError: it ended, or was not ready in time; with the end of its log.
        """
        log_path = self._logs / f"{name}.log"
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sota.cli",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if read_ready else log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is for the demo, which ends its processes
            )
        self._running[name] = process
        if not read_ready or process.stdout is None:
            return {}
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise StartError(f"{name} did not start:\n{self._tail(log_path)}", exit_code=1)
        ready: dict[str, object] = json.loads(line)
        return ready

    def check(self) -> None:
        """Check that all still run.

        Raises:
            StartError: one ended; with the end of its log.
        """
        for name, process in self._running.items():
            if process.returncode is not None:
                raise StartError(
                    f"{name} ended with {process.returncode}:\n{self._tail(self._logs / f'{name}.log')}", exit_code=1
                )

    async def stop(self) -> None:
        """End all of them, vehicles before the backend."""
        for name in reversed(list(self._running)):
            process = self._running.pop(name)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def _tail(self, path: Path) -> str:
        return "\n".join(path.read_text(errors="replace").splitlines()[-20:])


@contextlib.asynccontextmanager
async def processes(logs: Path) -> AsyncIterator[Processes]:
    """Return a set of processes that is ended in any case."""
    running = Processes(logs)
    try:
        yield running
    finally:
        await asyncio.shield(running.stop())
