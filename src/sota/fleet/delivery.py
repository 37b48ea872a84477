"""Hands messages from a vehicle's node to its SOTA Client: those of a service in order, until their time is over."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from urllib.parse import urlsplit

from sota.kit.errors import Unavailable
from sota.kit.http_client import HttpClient
from sota.kit.network import Memory

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
HEADERS = {"content-type": "application/json"}


class Deliveries:
    """What waits for the client, ``limit`` bytes of it before the node should read no more."""

    def __init__(self, memory: Memory, limit: int) -> None:
        self._memory, self._limit = memory, limit
        self._clients: dict[str, tuple[HttpClient, str]] = {}
        self._queues: dict[str, deque[tuple[str, bytes, float]]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._bytes = 0
        self._room: asyncio.Future[None] | None = None

    def add(self, service: str, url: str, body: bytes, deadline: float) -> asyncio.Future[None] | None:
        """Queue a message; where there are too many now, gives what ends when there is room again."""
        self._queues.setdefault(service, deque()).append((url, body, deadline))
        self._bytes += len(body)
        if service not in self._workers:
            self._workers[service] = asyncio.create_task(self._work(service), name=f"deliver:{service}")
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

    async def _work(self, service: str) -> None:
        queue = self._queues[service]
        try:
            while queue:
                url, body, deadline = queue[0]
                await self._deliver(url, body, deadline)
                queue.popleft()
                self._bytes -= len(body)
                if self._room is not None and self._bytes <= self._limit // 2:
                    self._room.set_result(None)
                    self._room = None
        finally:
            del self._workers[service]

    async def _deliver(self, url: str, body: bytes, deadline: float) -> None:
        client, path = self._client(url)
        pause = FIRST_PAUSE_S
        while time.time() < deadline:
            try:
                await client.request("POST", path, body=body, headers=HEADERS)
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                return

    def _client(self, url: str) -> tuple[HttpClient, str]:
        if url not in self._clients:  # one a service; a client that was started again has the same addresses
            parts = urlsplit(url)
            self._clients[url] = (self._memory.client(f"{parts.scheme}://{parts.netloc}"), parts.path)
        return self._clients[url]
