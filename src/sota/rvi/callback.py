"""How a local service is called: over HTTP/1.1 at the address that it registered.

A :class:`Caller` keeps one connection and makes one call at a time over it; each service has a caller of its own. It is
made for many small calls: no task and no timer for each of them. A connection that its service closed while nothing was
under way is made anew, and the call sent again; no other call is repeated here. One that is not needed for a while is
closed: a simple program serves one connection at a time, and may have several services.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from sota.boundaries.interaction import calls
from sota.kit.errors import Invalid
from sota.kit.http_client import Response
from sota.kit.http_heads import KnownHeads, read_answer

CONNECT_TIMEOUT_S = 5.0
KEPT_IDLE_S = 2.0
MAX_ANSWER_BYTES = 1 << 20
MAX_ADDRESS_LENGTH = 2048

Done = Callable[[Response | None], None]
"""Takes what the service answered; None if nobody answered who is the service."""


class Channel(Protocol):
    """The way to a service."""

    @property
    def url(self) -> str:
        """What tells this way from others."""
        ...

    @property
    def envelope(self) -> bytes:
        """What a call begins with, up to its params; the method's name goes in for ``%b``."""
        ...

    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Send a call, given in parts. True: it is gone and has no answer; False: ``done`` is called once, later."""
        ...

    def close(self) -> None:
        """End it; a call under way has no answer and tells nobody."""
        ...


class Address(Protocol):
    """Where a service is."""

    @property
    def url(self) -> str:
        """What tells this address from others."""
        ...

    def channel(self, timeout_s: float) -> Channel:
        """Make a way to it."""
        ...


class Target:
    """An address that a service registered, taken apart."""

    def __init__(self, url: str) -> None:
        """Read it.

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

    def channel(self, timeout_s: float) -> Caller:
        """Make a way to it; connects when it is needed."""
        return Caller(self, timeout_s)


class Caller:
    """Calls one address, one call at a time, over one connection that is made when it is needed."""

    envelope = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":'

    def __init__(self, target: Target, timeout_s: float) -> None:
        self.target, self._timeout_s = target, timeout_s
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._done: Done | None = None
        self._parts: Sequence[bytes] = ()
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.heads = KnownHeads(read_answer)

    @property
    def url(self) -> str:
        """Whom it calls."""
        return self.target.url

    @calls("X-B7-11", "X-B9-11")
    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Make a call; ``done`` is called once, later."""
        self._parts, self._done = parts, done
        self._asked_at = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(min(self._timeout_s, KEPT_IDLE_S), self._check_time)
        if self._wire is None:
            self._connect()
        else:
            self._wire.ask(self.target.head, parts)
        return False

    def close(self) -> None:
        """End the connection; a call under way has no answer and tells nobody."""
        self._done = None
        if self._connecting is not None:
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._drop()

    # What the connection tells

    def connected(self, wire: Wire) -> None:
        """Send the call that was waiting for the connection."""
        self._wire = wire
        if self._done is not None:
            wire.ask(self.target.head, self._parts)

    def answered(self, wire: Wire, response: Response | None, *, keep: bool) -> None:
        """Take an answer, or None for what is none."""
        if wire is not self._wire:
            return
        if not keep or self._done is None:  # or nobody has asked
            self._drop()
        self._finish(response)

    def disconnected(self, wire: Wire) -> None:
        """Try again where the service may have closed the connection before it saw the call."""
        if wire is not self._wire:
            return
        self._wire = None
        if self._done is None:
            return
        if wire.asked > 1 and not wire.heard:
            self._connect()
        else:
            self._finish(None)

    # Small things

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open(), name="callback:connect")

    async def _open(self) -> None:
        target, failed = self.target, False
        try:
            tls = ssl.create_default_context() if target.is_secure else None
            async with asyncio.timeout(min(CONNECT_TIMEOUT_S, self._timeout_s)):
                await self._loop.create_connection(lambda: Wire(self), target.host, target.port, ssl=tls)
        except (OSError, TimeoutError, UnicodeError):
            failed = True
        finally:
            self._connecting = None
        if failed:
            self._finish(None)

    def _check_time(self) -> None:
        """Give up a call that is not answered in time, and a connection that is not needed."""
        self._timer = None
        if self._done is None and self._wire is None:
            return
        limit_s = KEPT_IDLE_S if self._done is None else self._timeout_s
        left = self._asked_at + limit_s - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(min(left, KEPT_IDLE_S, self._timeout_s), self._check_time)
            return
        self._drop()
        self._finish(None)

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()

    def _finish(self, response: Response | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(response)


class Wire(asyncio.Protocol):
    """One connection of a caller."""

    __slots__ = (
        "_caller", "_ends_with_connection", "_parser", "_parts", "_says_length", "_size", "_transport", "asked",
        "heard", "parsing",
    )  # fmt: skip

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._size = self.asked = 0
        self.heard, self.parsing = True, False
        self._says_length = self._ends_with_connection = False

    def ask(self, head: bytes, parts: Sequence[bytes]) -> None:
        """Send a request. The parts of its body go as they are: they may be long, and joining would copy them."""
        self._parts, self._size, self.heard = [], 0, False
        self.asked += 1
        if self._transport is not None:
            self._transport.writelines((b"%b%d\r\n\r\n" % (head, sum(map(len, parts))), *parts))

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._caller.connected(self)

    def data_received(self, data: bytes) -> None:
        """Take the answer; what is none ends the connection."""
        self.heard = True
        found = None if self.parsing else self._caller.heads.find(data, 0)
        if found is not None and found[1] + found[0].length == len(data):
            self._caller.answered(self, Response(found[0].status, {}, data[found[1] :]), keep=True)
            return
        self.parsing = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._caller.answered(self, None, keep=False)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the caller; an answer that says no length is whole when the service closes, as simple ones do."""
        status = self._parser.get_status_code() if self.parsing else 0
        if error is None and status >= 200 and self._ends_with_connection:
            self._caller.answered(self, Response(status, {}, b"".join(self._parts)), keep=False)
        self._caller.disconnected(self)

    # httptools

    def on_message_begin(self) -> None:
        """Begin with an answer."""
        self._says_length = self._ends_with_connection = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether the answer says how long it is."""
        self._says_length = self._says_length or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """Note how it will end."""
        self._ends_with_connection = not self._says_length

    def on_body(self, body: bytes) -> None:
        """Collect the answer; one that is too long counts as one without a body."""
        self._size += len(body)
        self._parts.append(body)
        if self._size > MAX_ANSWER_BYTES:
            self._parts = []
            self._caller.answered(self, Response(self._parser.get_status_code(), {}, b""), keep=False)

    def on_message_complete(self) -> None:
        """Give the answer. Whether the connection is kept can only be asked now."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.parsing = False
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._caller.answered(self, Response(status, {}, body), keep=self._parser.should_keep_alive())
