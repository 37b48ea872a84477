"""The connections of a client to one address: kept while they are idle, and bounded while they are in use."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable

from sota.kit.errors import Unavailable
from sota.kit.http.connection import ClientConnection
from sota.kit.runtime.turns import take_turn

CONNECT_TIMEOUT_S = 5.0


class ConnectionPool:
    """Opens connections to ``host`` and ``port``, as ``make`` makes them, ``size`` at most at the same time.

    ``address`` is what errors show.
    """

    def __init__(
        self,
        address: str,
        host: str,
        port: int,
        *,
        size: int,
        make: Callable[[], ClientConnection],
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        self.address, self.host, self.port = address, host, port
        self._make, self._ssl = make, ssl
        self._idle: list[ClientConnection] = []
        self._slots = asyncio.Semaphore(size)

    async def acquire(self, limit_s: float) -> None:
        """Wait for the right to use a connection; :meth:`release` returns it.

        Raises:
            Unavailable: too many calls are under way.
        """
        await take_turn(self._slots, limit_s, f"Too many calls to {self.address} at once.")

    def release(self) -> None:
        """Let another call use a connection."""
        self._slots.release()

    def unavailable(self, error: Exception, limit_s: float) -> Unavailable:
        """Return the error of a call that got no answer."""
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self.address} did not answer within {limit_s:g} s.")
        return Unavailable(f"{self.address} is not reachable: {error}.")

    async def connect(self) -> ClientConnection:
        """Return an idle connection, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.transport.abort()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(
                self._make, self.host, self.port, ssl=self._ssl
            )
        return connection

    def put_back(self, connection: ClientConnection) -> None:
        """Keep a connection for the next call, if its answer is complete and it may be used again."""
        if connection.answer.done and connection.is_usable:
            self._idle.append(connection)
        else:
            connection.transport.abort()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().transport.abort()
