"""Calls from a simulated vehicle's node to its SOTA Client: address and channel as in the real node, but no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from sota.fleet.memory_network import MemoryNetwork, wait_for
from sota.kit.http.client import Response
from sota.rvi.callback import Done

HEADERS = {"content-type": "application/json"}


class MemoryAddress:
    """The address of a service in a :class:`~sota.fleet.memory_network.MemoryNetwork`."""

    def __init__(self, memory: MemoryNetwork, url: str) -> None:
        self._memory, self.url = memory, url

    def channel(self, timeout_s: float) -> MemoryChannel:
        """Return a channel to it."""
        return MemoryChannel(self._memory, self.url, timeout_s)


class MemoryChannel:
    """Calls one service; most calls are answered at once."""

    envelope = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":'

    def __init__(self, memory: MemoryNetwork, url: str, timeout_s: float) -> None:
        self._memory, self.url, self._timeout_s = memory, url, timeout_s
        parts = urlsplit(url)
        self._port, self._path = parts.port or 80, parts.path
        self._waiting: asyncio.Task[None] | None = None

    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Make a call; True if it is answered already, else ``done`` is called later."""
        handler = self._memory.handlers.get(self._port)
        answer = None if handler is None else handler("POST", self._path, HEADERS, b"".join(parts))
        if isinstance(answer, Response):
            return True
        pending = None if answer is None else asyncio.ensure_future(answer)
        self._waiting = asyncio.create_task(self._wait(pending, done), name="deliver")
        return False

    def close(self) -> None:
        """Drop the call that is waiting; the service still finishes it."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self, answer: asyncio.Future[Response] | None, done: Done) -> None:
        done(None if answer is None else await wait_for(answer, self._timeout_s))
