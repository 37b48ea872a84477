"""Hands messages from a vehicle's node to its SOTA Client: those of a service in order, until their time is over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

from sota.fleet.memory_network import MemoryClient, MemoryNetwork
from sota.kit.errors import Unavailable
from sota.kit.http.client import Response

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
HEADERS = {"content-type": "application/json"}


class DeliveryQueues:
    """What waits for the client, ``limit`` bytes of it before the node should read no more."""

    def __init__(self, memory: MemoryNetwork, limit: int) -> None:
        self._memory, self._limit = memory, limit
        self._clients: dict[str, MemoryClient] = {}
        self._queues: dict[str, deque[tuple[str, bytes, float]]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._bytes = 0
        self._room: asyncio.Future[None] | None = None

    def add(self, service: str, url: str, body: bytes, ends: float) -> asyncio.Future[None] | None:
        """Deliver a message, or queue it; where there are too many now, gives what ends when there is room again."""
        answer: asyncio.Future[Response] | None = None
        if service not in self._workers:
            answered = self._call(url, body)
            if isinstance(answered, Response):
                return None
            answer = answered
        self._queues.setdefault(service, deque()).append((url, body, ends))
        self._bytes += len(body)
        if service not in self._workers:
            self._workers[service] = asyncio.create_task(self._work(service, answer), name=f"deliver:{service}")
        if self._bytes <= self._limit:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    async def close(self) -> None:
        """Deliver nothing more."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._queues.clear()

    async def _work(self, service: str, answer: asyncio.Future[Response] | None) -> None:
        queue = self._queues[service]
        try:
            while queue:
                url, body, ends = queue[0]
                await self._deliver(url, body, ends, answer)
                answer = None
                queue.popleft()
                self._bytes -= len(body)
                if self._room is not None and self._bytes <= self._limit // 2:
                    self._room.set_result(None)
                    self._room = None
        finally:
            del self._workers[service]

    async def _deliver(self, url: str, body: bytes, ends: float, answer: asyncio.Future[Response] | None) -> None:
        client, _ = self._split(url)
        pause = FIRST_PAUSE_S
        while time.monotonic() < ends:
            answered = answer or self._call(url, body)
            answer = None
            if isinstance(answered, Response):
                return
            if answered is not None:
                with contextlib.suppress(Unavailable):
                    await client.wait(answered)
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _call(self, url: str, body: bytes) -> Response | asyncio.Future[Response] | None:
        """Begin to deliver; None where nobody listens."""
        client, path = self._split(url)
        try:
            return client.begin("POST", path, body, HEADERS)
        except Unavailable:
            return None

    def _split(self, url: str) -> tuple[MemoryClient, str]:
        """Give who is called, and the path; the client registers all its services at one host."""
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        base = f"{scheme}://{host}"
        client = self._clients.get(base)
        if client is None:
            client = self._clients[base] = self._memory.client(base)
        return client, f"/{path}"
