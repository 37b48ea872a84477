"""Where a server listens, and the connections of local programs: counted, looked after, closed together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
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
