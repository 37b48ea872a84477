"""How a local service is called: over HTTP/1.1 at the address that it registered.

Each service has its own :class:`CallbackClient`, which keeps one connection and makes one call at a time over it. Many
small calls are cheap: none of them needs a task or a timer. If the service closed an idle connection, the client opens
another one and sends the call again; no other call is repeated here. An idle connection is closed after a while:
a simple program serves one connection at a time and may have several services.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from sota.boundaries.binding.decorators import calls
from sota.kit.errors import Invalid
from sota.kit.http.answer import AnswerTooLong
from sota.kit.http.client import Response
from sota.kit.http.connection import ClientConnection
from sota.kit.http.heads import KnownHeads, read_answer

CONNECT_TIMEOUT_S = 5.0
KEPT_IDLE_S = 2.0
MAX_ANSWER_BYTES = 1 << 20
MAX_ADDRESS_LENGTH = 2048

Done = Callable[[Response | None], None]
"""Takes what the service answered; None if there was no valid answer."""


class Channel(Protocol):
    """The way to a service."""

    url: str
    """What tells this way from others."""
    envelope: bytes
    """What a call begins with, up to its params; the method's name goes in for ``%b``."""

    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Send a call, given in parts. True: it is gone and has no answer; False: ``done`` is called once, later."""

    def close(self) -> None:
        """End it; a call under way gets no answer and no report."""


class Address(Protocol):
    """Where a service is."""

    url: str
    """What tells this address from others."""

    def channel(self, timeout_s: float) -> Channel:
        """Make a way to it."""


class HttpAddress:
    """An address that a service registered, taken apart."""

    def __init__(self, url: str) -> None:
        """Parse it.

        Raises:
            Invalid: it cannot be called.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > MAX_ADDRESS_LENGTH:
                raise ValueError(url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            host = parts.netloc.rpartition("@")[2]
            text = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
            self.head = text.encode("ascii")
            if any(character <= " " or character == "\x7f" for character in path + host):
                raise ValueError(url)
        except ValueError:
            raise Invalid(f"{url[:100]!r} is no address that a node can call: write http://host:port/path") from None
        self.url, self.host = url, parts.hostname
        self.is_secure = parts.scheme == "https"
        self.port = port or (443 if self.is_secure else 80)

    def channel(self, timeout_s: float) -> CallbackClient:
        """Make a way to it; connects when it is needed."""
        return CallbackClient(self, timeout_s)


class CallbackClient:
    """Calls one address, one call at a time, over one connection that is made when it is needed."""

    envelope = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":'

    def __init__(self, target: HttpAddress, timeout_s: float) -> None:
        self.target, self.url, self._timeout_s = target, target.url, timeout_s
        self._loop = asyncio.get_running_loop()
        self._connection: ClientConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._done: Done | None = None
        self._parts: Sequence[bytes] = ()
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.heads = KnownHeads(read_answer)

    @calls("X-B7-11", "X-B9-11")
    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Make a call; ``done`` is called once, later."""
        self._parts, self._done = parts, done
        self._asked_at = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(min(self._timeout_s, KEPT_IDLE_S), self._check_time)
        if self._connection is None:
            self._connect()
        else:
            self._send(self._connection)
        return False

    def close(self) -> None:
        """End the connection; a call under way gets no answer and no report."""
        self._done = None
        if self._connecting is not None:
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._drop()

    def _send(self, connection: ClientConnection) -> None:
        """Send the call. The parts of its body go as they are: they may be long, and joining would copy them."""
        connection.send((b"%b%d\r\n\r\n" % (self.target.head, sum(map(len, self._parts))), *self._parts))

    def _changed(self, connection: ClientConnection) -> None:
        """Take an answer, or what there is instead of one."""
        answer, error = connection.answer, connection.error
        if connection is not self._connection or (not answer.done and error is None and connection.is_usable):
            return
        if not connection.is_usable:
            self._drop()
        if connection.may_repeat and self._done is not None:
            self._connect()
        elif error is None:
            self._finish(Response(answer.status, {}, connection.take()))
        else:
            self._finish(Response(answer.status, {}, b"") if isinstance(error, AnswerTooLong) else None)

    # Helpers

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open(), name="callback:connect")

    async def _open(self) -> None:
        target, connection = self.target, None
        try:
            tls = ssl.create_default_context() if target.is_secure else None
            async with asyncio.timeout(min(CONNECT_TIMEOUT_S, self._timeout_s)):
                _, connection = await self._loop.create_connection(
                    lambda: ClientConnection(self._changed, limit=MAX_ANSWER_BYTES, heads=self.heads),
                    target.host,
                    target.port,
                    ssl=tls,
                )
        except (OSError, TimeoutError, UnicodeError):
            connection = None
        finally:
            self._connecting = None
        self._connection = connection
        if connection is None:
            self._finish(None)
        elif self._done is not None:
            self._send(connection)

    def _check_time(self) -> None:
        """End a call that is not answered in time, and a connection that is not needed."""
        self._timer = None
        if self._done is None and self._connection is None:
            return
        limit_s = KEPT_IDLE_S if self._done is None else self._timeout_s
        left = self._asked_at + limit_s - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(min(left, KEPT_IDLE_S, self._timeout_s), self._check_time)
            return
        self._drop()
        self._finish(None)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.abort()

    def _finish(self, response: Response | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(response)
