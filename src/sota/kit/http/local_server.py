"""Where a server listens, and the connections of local programs: counted, looked after, closed together."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from sota.kit.errors import StartError

MAX_CONNECTIONS = 4096


class Served(Protocol):
    """A connection of a :class:`LocalServer`."""

    def tick(self, now: float) -> None:
        """Do what is due now and then."""

    def close(self) -> None:
        """End it."""


Connection = TypeVar("Connection", bound=Served)
Request = TypeVar("Request")


class InOrder(asyncio.BaseProtocol, Generic[Request]):
    """Answers the requests of one connection in order, one at a time; while one waits, nothing more is read."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests: deque[Request] = deque()
        self.task: asyncio.Task[None] | None = None
        """The answer that is outstanding."""
        self._paused = False
        self._changed_at = self._loop.time()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is outstanding."""
        return self.task is not None or bool(self._requests)

    def pause_writing(self) -> None:
        """Stop answering: the caller does not read its answers."""
        self._paused = True
        self._changed_at = self._loop.time()

    def resume_writing(self) -> None:
        """Answer again."""
        self._paused = False
        self._go_on()

    def _answer(self, request: Request) -> Awaitable[None] | None:
        """Answer a request: at once, or by what is returned."""
        raise NotImplementedError

    def _go_on(self) -> None:
        while self._requests and self.task is None and not self._paused:
            later = self._answer(self._requests.popleft())
            if later is not None:
                self.task = asyncio.create_task(self._finish(later), name="local-server:request")
        if self._transport.is_closing():
            return
        wanted = not self.is_busy and not self._paused
        if wanted and not self._transport.is_reading():
            self._changed_at = self._loop.time()
            self._transport.resume_reading()
        elif not wanted and self._transport.is_reading():
            self._transport.pause_reading()

    async def _finish(self, later: Awaitable[None]) -> None:
        await later
        self.task = None
        self._go_on()


class LocalServer(Generic[Connection]):
    """Listens at one address, and keeps :data:`MAX_CONNECTIONS` connections at most."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self.port = host, port
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def listen(self, make: Callable[[], asyncio.BaseProtocol], tick_s: float) -> None:
        """Listen; ``port`` is then the real one. Each connection is looked after every ``tick_s``.

        Raises:
            StartError: the address is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(make, self._host, self.port, backlog=1024)
        except OSError as error:
            raise cannot_listen(self._host, self.port, error) from None
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._watcher = asyncio.create_task(self._watch(tick_s), name=f"local-server:{self.port}")

    async def stop(self) -> None:
        """Accept nothing more, let requests under way end, close."""
        if self._server is None or self._watcher is None:
            return
        self._server.close()
        self._watcher.cancel()
        await self._settle()
        for connection in list(self.connections):
            connection.close()

    def add(self, connection: Connection) -> bool:
        """Count a connection in, unless there are too many."""
        if len(self.connections) >= MAX_CONNECTIONS:
            return False
        self.connections.add(connection)
        return True

    async def _settle(self) -> None:
        """Let requests under way end."""

    async def _watch(self, tick_s: float) -> None:
        while True:
            await asyncio.sleep(tick_s)
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.tick(now)


def bind(host: str, port: int, backlog: int = 1024) -> socket.socket:
    """Return a socket that listens.

    Raises:
        StartError: the address is taken or not ours.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise cannot_listen(host, port, error) from None


def cannot_listen(host: str, port: int, error: OSError) -> StartError:
    """Return the error of a start whose address cannot be used."""
    return StartError(f"cannot listen on {host}:{port}: {error.strerror or error}", exit_code=1)
