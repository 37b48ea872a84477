"""Listens for an ASGI application, over TCP or TLS, in the program's own event loop."""

from __future__ import annotations

import asyncio
import ssl

from sota.kit.http.asgi_connection import AsgiApp, AsgiConnection
from sota.kit.http.connection_limits import ConnectionLimits
from sota.kit.http.local_server import bind
from sota.kit.runtime.logging import get_logger

STOP_TIMEOUT_S = 10
MAX_CONNECTIONS = 2000


class HttpListener:
    """One listening address of a program.

    ``per_address`` bounds the connections that are kept of one address; 0 where all callers may have the same one.
    """

    def __init__(
        self, app: AsgiApp, host: str, port: int, *, tls: ssl.SSLContext | None = None, per_address: int = 0
    ) -> None:
        self._app, self._host, self._tls = app, host, tls
        self._limits = ConnectionLimits(MAX_CONNECTIONS, per_address)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = port

    async def start(self) -> None:
        """Listen; returns when connections are accepted, with ``port`` set to the real one.

        Raises:
            StartError: the address is taken or not ours.
        """
        listening = bind(self._host, self.port)
        self.port = listening.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(
            lambda: AsgiConnection(self._app, self._limits, self._tasks), sock=listening, ssl=self._tls
        )

    async def stop(self) -> None:
        """Stop accepting, let requests under way end (10 s), close."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._limits.connections():
            connection.stop()
        waiting = list(self._tasks)
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            if late:
                get_logger().warning("requests_cut_off", count=len(late))
        for connection in self._limits.connections():
            connection.cut_off()
