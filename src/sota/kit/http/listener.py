"""Runs an ASGI application on a socket, by uvicorn, inside our own event loop and under our own shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from sota.kit.errors import StartError
from sota.kit.http.connection_limits import KEEP_ALIVE_S, ConnectionLimits
from sota.kit.http.protocol import HttpProtocol
from sota.kit.runtime.stub_modules import hidden

with hidden("uvicorn.main"):  # its command line
    from uvicorn.config import Config
    from uvicorn.server import Server

STOP_TIMEOUT_S = 10
MOST_CONNECTIONS = 2000


class _Server(Server):
    """uvicorn without its signal handlers: the program decides when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpListener:
    """One listening address of a program.

    ``per_address`` connections at most are kept of one address; 0 where all callers may have the same one.
    """

    def __init__(
        self, app: Any, host: str, port: int, *, tls: ssl.SSLContext | None = None, per_address: int = 0
    ) -> None:
        self._host, self._port = host, port

        class Connection(HttpProtocol):
            """One of this listener's connections."""

            limits = ConnectionLimits(MOST_CONNECTIONS, per_address)

        self._config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # Nobody's X-Forwarded-* is believed: it would turn plain HTTP into HTTPS and one address into another.
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS + 100,  # our limits make room before uvicorn refuses
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
        )
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None
        self.port = port

    async def start(self) -> None:
        """Listen; returns when connections are accepted, with ``port`` set to the real one.

        Raises:
            StartError: the address is taken or not ours.
        """
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listening = socket.create_server((self._host, self._port), family=family, backlog=1024, reuse_port=False)
        except OSError as error:
            raise StartError(f"cannot listen on {self._host}:{self._port}: {error.strerror}", exit_code=1) from None
        self.port = listening.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name=f"http:{self.port}")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise StartError(f"cannot serve on {self._host}:{self._port}", exit_code=1)
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop accepting, let requests under way end (10 s), close."""
        if self._task is None:
            return
        self._server.should_exit = True
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S + 2):
                await self._task
        except TimeoutError:
            self._task.cancel()
