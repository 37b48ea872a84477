"""Hands messages from a vehicle's node to its SOTA Client: those of a service in order, until their time is over."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from urllib.parse import urlsplit

from sota.fleet.memory_network import MemoryNetwork, wait_for
from sota.kit.http.client import Response

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
HEADERS = {"content-type": "application/json"}
Answer = Response | asyncio.Future[Response] | None
"""An answer, a pending one, or None where no program listens."""


class DeliveryQueues:
    """What waits for the client, ``limit`` bytes of it before the node should read no more."""

    def __init__(self, memory: MemoryNetwork, limit: int) -> None:
        self._memory, self._limit = memory, limit
        self._addresses: dict[str, tuple[int, str]] = {}
        self._queues: dict[str, deque[tuple[str, bytes, float]]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._bytes = 0
        self._room: asyncio.Future[None] | None = None

    def add(self, service: str, url: str, body: bytes, ends: float) -> asyncio.Future[None] | None:
        """Deliver a message, or queue it. If too many wait now, return a future that ends when there is room again."""
        answer: Answer = None
        if service not in self._workers:
            answer = self._call(url, body)
            if isinstance(answer, Response):
                return None
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

    async def _work(self, service: str, answer: Answer) -> None:
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

    async def _deliver(self, url: str, body: bytes, ends: float, answer: Answer) -> None:
        pause = FIRST_PAUSE_S
        while time.monotonic() < ends:
            answer = answer or self._call(url, body)
            if isinstance(answer, Response) or (answer is not None and await wait_for(answer) is not None):
                return
            answer = None
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _call(self, url: str, body: bytes) -> Answer:
        address = self._addresses.get(url)
        if address is None:
            parts = urlsplit(url)
            address = self._addresses[url] = (parts.port or 80, parts.path)
        handler = self._memory.find(address[0])
        answer = None if handler is None else handler("POST", address[1], HEADERS, body)
        return answer if answer is None or isinstance(answer, Response) else asyncio.ensure_future(answer)
