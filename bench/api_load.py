"""Loads an HTTP server on loopback: as much as it takes, by wrk, and at a steady rate, from here.

At a steady rate each request is due at its own moment, whether or not the one before was answered, and its time counts
from that moment: a server that stalls cannot hide it by slowing its callers down.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench.processes import BenchmarkError, processor_s

CONNECTIONS = 16
# A server that is far too slow for the rate must not open sockets without end.
MOST_CONNECTIONS = 64
ANSWER_TIMEOUT_S = 30.0
SCRIPT = """
local requests, at = {}, 0
init = function(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    requests[#requests + 1] = wrk.format(method, path, nil, body ~= "" and body or nil)
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary)
  local e = summary.errors
  print(string.format('RESULT {"answers": %d, "micros": %d, "errors": %d}',
    summary.requests, summary.duration, e.status + e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is made again and again; of many of them each in its turn."""

    method: str
    path: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Saturated:
    """Answers a second, and how much processor time the server's processes spent on each."""

    rate: float
    processor_us: float


class Load:
    """Makes requests of one server with one credential. ``folder`` takes wrk's small files.

    ``pids`` are the processes that answer: their processor time says what an answer costs also where other programs
    take the processors away.
    """

    def __init__(self, folder: Path, port: int, token: str, pids: Sequence[int]) -> None:
        self._folder, self._port, self._pids = folder, port, pids
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def saturating(self, requests: Sequence[Request], duration_s: int) -> Saturated:
        """Take what the server gives to a fixed number of connections that are never idle.

        Raises:
            BenchmarkError: wrk is missing, or an answer was no success.
        """
        if shutil.which("wrk") is None:
            raise BenchmarkError("wrk is not found: scripts/setup --system wrk")
        script, listed = self._folder / "wrk.lua", self._folder / "requests"
        script.write_text(SCRIPT)
        listed.write_text("".join(f"{one.method} {one.path} {one.body}\n" for one in requests))
        headers = [part for name, value in self._headers.items() for part in ("--header", f"{name}: {value}")]
        command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{duration_s}s"]
        command += [*headers, "--timeout", "10s", "--script", str(script), f"http://127.0.0.1:{self._port}"]
        before_s = self.processor_s()
        done = subprocess.run(
            [*command, "--", str(listed)], capture_output=True, text=True, timeout=duration_s + 60, check=False
        )
        found = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not found:
            raise BenchmarkError(f"wrk ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        result = json.loads(found[0])
        if result["errors"] or not result["answers"]:
            raise BenchmarkError(f"{requests[0].method} {requests[0].path}: not every answer was a success: {result}")
        spent_s = self.processor_s() - before_s
        return Saturated(result["answers"] / (result["micros"] / 1e6), spent_s * 1e6 / result["answers"])

    def processor_s(self) -> float:
        """Read how much processor time the server's processes have used, in seconds."""
        return sum(processor_s(pid) for pid in self._pids)

    def p99_ms(self, requests: Sequence[Request], rate: float, duration_s: float) -> float:
        """Return the 99th percentile of the time to the whole answer, at a steady rate.

        Raises:
            BenchmarkError: an answer was no success, or none came.
        """
        count = max(1, int(rate * duration_s))
        times_s = uvloop.run(self.steady(requests, rate, lambda number: number < count))
        return statistics.quantiles(times_s, n=100, method="inclusive")[98] * 1000

    def _written(self, request: Request) -> bytes:
        body = request.body.encode()
        headers = {"Host": f"127.0.0.1:{self._port}", **self._headers, "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{request.method} {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    async def steady(self, requests: Sequence[Request], rate: float, goes_on: Callable[[int], bool]) -> list[float]:
        """Make requests at a steady rate while ``goes_on(number)`` holds; return their times in s.

        Raises:
            BenchmarkError: an answer was no success, or none came.
        """
        written = [self._written(one) for one in requests]
        loop = asyncio.get_running_loop()
        idle: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
        opened: list[_Connection] = []
        for _ in range(CONNECTIONS):
            opened.append(await self._connect())
            idle.put_nowait(opened[-1])

        async def one(due: float, content: bytes) -> float:
            if idle.empty() and len(opened) < MOST_CONNECTIONS:
                opened.append(await self._connect())
                idle.put_nowait(opened[-1])
            connection = await idle.get()
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await connection.exchange(content)
            idle.put_nowait(connection)
            return loop.time() - due

        begin = loop.time() + 0.05
        try:
            tasks: list[asyncio.Task[float]] = []
            async with asyncio.TaskGroup() as group:
                while goes_on(len(tasks)):
                    due = begin + len(tasks) / rate
                    await asyncio.sleep(due - loop.time())
                    tasks.append(group.create_task(one(due, written[len(tasks) % len(written)])))
        except* (TimeoutError, OSError, ValueError) as errors:
            raise BenchmarkError(f"at {rate:.0f} requests/s: {errors.exceptions[0]!r}") from None
        finally:
            for connection in opened:
                connection.close()
        return [task.result() for task in tasks]

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One exchange at a time; an answer must be a success and say its length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not derived from it

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = bytes(self._received).partition(b"\r\n\r\n")
        if not found or self._answered is None or self._answered.done():
            return
        status, *lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        if status.split()[1] != b"200" or length is None:
            self._answered.set_exception(ValueError(f"answered {bytes(self._received)[:300]!r}"))
        elif len(body) >= length:
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionResetError("the server closed the connection"))

    async def exchange(self, request: bytes) -> None:
        assert self._transport is not None
        self._received.clear()
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._answered

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
