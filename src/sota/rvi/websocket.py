"""One WebSocket of a local program: frames on one side, texts and calls on the other.

The library ``websockets`` reads and writes RFC 6455. This module adds the rest: texts are handled in order, and nothing
more is read while one waits; all that is sent in one turn of the loop goes together; a socket that does not finish its
handshake, or shows no sign of life, is closed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Sequence
from ipaddress import ip_address
from typing import Protocol, cast
from urllib.parse import urlsplit

from structlog.typing import FilteringBoundLogger
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from sota.kit.http.local_server import InOrder
from sota.rvi.callback import Done
from sota.rvi.service_queue import TAKEN

HANDSHAKE_S, PING_S, PONG_S = 10.0, 10.0, 5.0
SEND_BUFFER_BYTES = 1 << 20
UNSUPPORTED_DATA, GOING_AWAY = 1003, 1001
ENVELOPE = b'{"json-rpc":"2.0","method":"%b","params":'

_quiet = logging.getLogger("sota.rvi.websocket")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
_quiet.setLevel(logging.CRITICAL)
_numbers = itertools.count(1)


class SocketOwner(Protocol):
    """The edge, as its sockets use it."""

    max_text: int
    log: FilteringBoundLogger

    def add(self, socket: SocketProtocol) -> bool:
        """Add a socket; False if there are too many."""

    def remove(self, socket: SocketProtocol) -> None:
        """Remove a socket."""

    def refuse(self, reason: str) -> bytes:
        """Count a refused request, which gets no answer."""

    def handle(self, content: bytes, socket: SocketProtocol) -> bytes | Awaitable[bytes]:
        """Answer one text; an empty answer is not sent."""


class SocketChannel:
    """Calls one service that was registered over a socket; such a service does not answer."""

    envelope = ENVELOPE

    def __init__(self, socket: SocketProtocol) -> None:
        self._socket, self.url = socket, socket.url
        self._waiting: tuple[bytes, Done] | None = None

    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Send a call at once, or when the other side has read what waits."""
        content = b"".join(parts)
        if self._socket.is_writable:
            self._socket.send(content)
            return True
        self._waiting = content, done
        self._socket.channels.add(self)
        return False

    def resume(self) -> None:
        """Send the waiting call."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._socket.send(waiting[0])
            waiting[1](TAKEN)

    def close(self) -> None:
        """Drop the waiting call; other services may use the socket too."""
        self._waiting = None
        self._socket.channels.discard(self)


class SocketProtocol(InOrder[bytes], asyncio.Protocol):
    """One WebSocket of a local program."""

    def __init__(self, server: SocketOwner) -> None:
        super().__init__()
        self._server = server
        self.url = f"websocket:{next(_numbers)}"
        self._protocol = ServerProtocol(max_size=server.max_text, logger=_quiet)
        self._pieces: list[bytes] = []
        self._flushing = self._is_accepted = False
        self._opened_at = self._heard_at = self._loop.time()
        self._pinged_at: float | None = None
        self.channels: set[SocketChannel] = set()

    def channel(self, _timeout_s: float) -> SocketChannel:
        """Return a channel to a service that is called over this socket."""
        return SocketChannel(self)

    @property
    def is_writable(self) -> bool:
        """Whether a call may be sent now."""
        return not self._paused

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, unless there are too many connections."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        if not self._server.add(self):
            self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """Remove the socket and its services."""
        self._requests.clear()
        self._server.remove(self)

    def data_received(self, data: bytes) -> None:
        """Handle received bytes; answer the requests that they complete."""
        self._heard_at = self._loop.time()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._accept(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._go_on()
        self._flush()

    def resume_writing(self) -> None:
        """Resume calls and answers."""
        self._paused = False
        channels, self.channels = self.channels, set()
        for channel in channels:
            channel.resume()
        self._go_on()

    # Sending

    def send(self, content: bytes) -> None:
        """Send a text, together with all others of this turn of the loop."""
        try:
            self._protocol.send_text(content)
        except WebSocketException:
            return  # it is being closed
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def close(self, code: int = GOING_AWAY) -> None:
        """Close the socket with the protocol's closing handshake."""
        self._protocol.fail(code)
        self._flush()

    def tick(self, now: float) -> None:
        """Do what is due now and then: send a sign of life, close a dead socket."""
        if not self._is_accepted:
            if now - self._opened_at > HANDSHAKE_S:
                self._transport.abort()
        elif self._pinged_at is not None and self._heard_at < self._pinged_at:
            if now - self._pinged_at > PONG_S:
                self._server.log.info("websocket_dead")
                self._transport.abort()
        elif self._pinged_at is None or now - self._pinged_at >= PING_S:
            self._pinged_at = now
            self._protocol.send_ping(os.urandom(4))
            self._flush()

    # Helpers

    def _accept(self, request: Request) -> None:
        if is_of_a_page(request.headers.get_all("Origin"), request.headers.get_all("Host")):
            self._server.refuse("websocket_origin")
            response = self._protocol.reject(403, "Web pages may not call the node.\n")
        else:
            try:
                response = self._protocol.accept(request)
            except UnicodeError:  # its answer would repeat a header that is not text
                self._transport.abort()
                return
        if self._protocol.eof_sent:  # the bytes after the handshake are invalid already
            self._transport.abort()
            return
        self._protocol.send_response(response)
        self._is_accepted = self._protocol.handshake_exc is None

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            if frame.fin and not self._pieces:
                self._requests.append(bytes(frame.data))
                return
            self._pieces.append(bytes(frame.data))
            if frame.fin:
                self._requests.append(b"".join(self._pieces))
                self._pieces = []
        elif frame.opcode is Opcode.BINARY:
            self._server.refuse("websocket_binary")
            self._protocol.fail(UNSUPPORTED_DATA)

    def _answer(self, request: bytes) -> Awaitable[None] | None:
        answer = self._server.handle(request, self)
        if not isinstance(answer, bytes):
            return self._answer_later(answer)
        if answer:
            self.send(answer)
        return None

    async def _answer_later(self, pending: Awaitable[bytes]) -> None:
        try:
            answer = await pending
        except Exception:  # the edge of the process: one request fails, the node goes on
            self._server.log.exception("websocket_request_crashed")
            answer = b""
        if answer:
            self.send(answer)

    def _flush(self) -> None:
        self._flushing = False
        transport, pieces = self._transport, self._protocol.data_to_send()
        if transport.is_closing():
            return
        if pieces:
            content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if content:
                transport.write(content)
        if self._protocol.eof_sent or self._protocol.close_expected():
            transport.close()


def is_of_a_page(origins: Sequence[str], hosts: Sequence[str]) -> bool:
    """Report whether a handshake comes from a web page, by its headers ``Origin`` and ``Host``.

    Libraries other than browsers may name the address that they connect to as origin, and the node has no pages. Only
    an address counts: the owner of a name may point it to this machine.

    >>> is_of_a_page([], ["127.0.0.1:9008"]), is_of_a_page(["http://127.0.0.1:9008"], ["127.0.0.1:9008"])
    (False, False)
    >>> is_of_a_page(["http://example.com:9008"], ["example.com:9008"])
    True
    """
    if not origins:
        return False
    if len(hosts) != 1 or list(origins) != [f"http://{hosts[0]}"]:
        return True
    try:
        name = urlsplit(origins[0]).hostname or ""
        if name != "localhost":
            ip_address(name)
    except ValueError:
        return True
    return False
