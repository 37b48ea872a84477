"""The service edge over WebSocket, as rvi_core has it on a port of its own: JSON texts, any path, no extensions.

A request is ``{"id": …, "method": …, "params": …}``; its answer is flat, without ``result``::

    → {"json-rpc":"2.0","id":"1","method":"register_service","params":{"service_name":"ws/echo"}}
    ← {"id":"1","status":0,"service":"genivi.org/vin/WVW00000000000001/ws/echo","method":"register_service"}

Rules kept here:

* what is refused, unknown, or has no ``id`` gets no answer at all, as from a real node, and is counted;
* ``params`` may be an object or a text that holds one; each value of a message's ``parameters`` is a text that holds
  JSON (``{"a": "1"}``). An array of ours (``[{…}]``) goes as it is;
* a request with ``"jsonrpc": "2.0"`` is answered exactly as over HTTP, refusals and all (an extension of ours);
* a service registered here is called over this socket, and is gone when the socket is;
* requests of one socket are worked on in their order; while one waits, nothing more is read. Requests, connections,
  what waits to be sent, and the time for the handshake and for a sign of life are bounded;
* a web page (``Origin``) is turned away.

The protocol itself, RFC 6455, is read and written by the library ``websockets``, imported only where this edge is on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from sota.kit import metrics
from sota.kit.errors import StartError
from sota.kit.logging import get_logger
from sota.rvi.callback import Done
from sota.rvi.delivery import TAKEN
from sota.rvi.edge import REFUSALS, Edge, MessageParams, Result, message_result

if TYPE_CHECKING:
    from sota.rvi.node import Node

MAX_CONNECTIONS = 4096
ENVELOPE_BYTES = 64 << 10
HANDSHAKE_S, PING_S, PONG_S, TICK_S = 10.0, 10.0, 5.0, 1.0
SEND_BUFFER_BYTES = 1 << 20
UNSUPPORTED_DATA, GOING_AWAY, TRY_AGAIN_LATER = 1003, 1001, 1013
ENVELOPE = b'{"json-rpc":"2.0","method":"%b","params":'

_quiet = logging.getLogger("sota.rvi.websocket")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
_quiet.setLevel(logging.CRITICAL)
_numbers = itertools.count(1)


class SocketRequest(msgspec.Struct):
    """The envelope. ``jsonrpc`` tells a request in the form of HTTP."""

    method: str
    id: msgspec.Raw = msgspec.Raw()
    params: msgspec.Raw = msgspec.Raw()
    jsonrpc: str | None = None


class SocketMessage(msgspec.Struct):
    """What ``message`` takes."""

    service_name: str
    timeout: int
    parameters: msgspec.Raw


class ServiceName(msgspec.Struct):
    """What ``register_service`` and ``unregister_service`` take."""

    service_name: str


class SocketChannel:
    """The way to one service that was registered over a socket: it is told, and does not answer."""

    envelope = ENVELOPE

    def __init__(self, socket: SocketProtocol) -> None:
        self._socket = socket
        self._waiting: tuple[bytes, Done] | None = None

    @property
    def url(self) -> str:
        """What tells this socket from others."""
        return self._socket.url

    def call(self, parts: Sequence[bytes], done: Done) -> bool:
        """Send a call at once, or when the other side has read what waits."""
        content = b"".join(parts)
        if self._socket.is_writable:
            self._socket.send(content)
            return True
        self._waiting = content, done
        self._socket.channels.add(self)
        return False

    def go_on(self) -> None:
        """Send what waited."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._socket.send(waiting[0])
            waiting[1](TAKEN)

    def close(self) -> None:
        """Forget what waits; the socket is not this service's alone."""
        self._waiting = None
        self._socket.channels.discard(self)


class SocketProtocol(asyncio.Protocol):
    """One WebSocket of a local program."""

    def __init__(self, server: SocketServer) -> None:
        self._server = server
        self.url = f"websocket:{next(_numbers)}"
        self._protocol = ServerProtocol(origins=[None], max_size=server.max_text, logger=_quiet)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._requests: deque[bytes] = deque()
        self._pieces: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._paused = self._flushing = self._shaken = False
        self._opened_at = self._heard_at = self._loop.time()
        self._pinged_at: float | None = None
        self.channels: set[SocketChannel] = set()

    def channel(self, timeout_s: float) -> SocketChannel:
        """Make the way to a service that is called over this socket."""
        del timeout_s
        return SocketChannel(self)

    @property
    def is_writable(self) -> bool:
        """Whether a call may be sent now."""
        return not self._paused

    @property
    def is_busy(self) -> bool:
        """Whether an answer is outstanding."""
        return self._task is not None or bool(self._requests)

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        if not self._server.add(self):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the socket and its services."""
        del error
        self._transport = None
        self._requests.clear()
        self._server.remove(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; answer the requests that they complete."""
        self._heard_at = self._loop.time()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
                self._shaken = self._protocol.handshake_exc is None
            elif isinstance(event, Frame):
                self._take(event)
        self._go_on()
        self._flush()

    def eof_received(self) -> bool:
        """End: the other side has nothing more to say."""
        return False

    def pause_writing(self) -> None:
        """The other side does not read: send nothing more."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on with calls and answers."""
        self._paused = False
        channels, self.channels = self.channels, set()
        for channel in channels:
            channel.go_on()
        self._go_on()

    # What is said

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
        """End the socket, with the closing words of the protocol."""
        self._protocol.fail(code)
        self._flush()

    def tick(self, now: float) -> None:
        """Once in a while: show that the node lives, and give up on who does not."""
        if not self._shaken:
            if now - self._opened_at > HANDSHAKE_S:
                self._abort()
        elif self._pinged_at is not None and self._heard_at < self._pinged_at:
            if now - self._pinged_at > PONG_S:
                self._server.log.info("websocket_dead")
                self._abort()
        elif self._pinged_at is None or now - self._pinged_at >= PING_S:
            self._pinged_at = now
            self._protocol.send_ping(os.urandom(4))
            self._flush()

    # Small things

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

    def _go_on(self) -> None:
        while self._requests and self._task is None and not self._paused and self._transport is not None:
            answer = self._server.handle(self._requests.popleft(), self)
            if isinstance(answer, bytes):
                if answer:
                    self.send(answer)
            else:
                self._task = asyncio.create_task(self._answer_later(answer), name="websocket:request")
        self._throttle()

    async def _answer_later(self, pending: Awaitable[bytes]) -> None:
        try:
            answer = await pending
        except Exception:  # the edge of the process: one request fails, the node goes on
            self._server.log.exception("websocket_request_crashed")
            answer = b""
        self._task = None
        if answer:
            self.send(answer)
        self._go_on()

    def _throttle(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        wanted = not self.is_busy and not self._paused
        if wanted and not transport.is_reading():
            transport.resume_reading()
        elif not wanted and transport.is_reading():
            transport.pause_reading()

    def _flush(self) -> None:
        self._flushing = False
        transport = self._transport
        pieces = self._protocol.data_to_send()
        if transport is None or transport.is_closing():
            return
        if pieces:
            content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if content:
                transport.write(content)
        if self._protocol.close_expected() or (pieces and not pieces[-1]):
            transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class SocketServer:
    """Listens for WebSockets of local programs."""

    def __init__(self, node: Node, edge: Edge) -> None:
        settings = node.settings
        self._node, self._edge = node, edge
        self._host, self.port = settings.host, settings.ws_port
        self.max_text = settings.max_message + ENVELOPE_BYTES
        self._server: asyncio.Server | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._sockets: set[SocketProtocol] = set()
        self._requests = msgspec.json.Decoder(SocketRequest)
        self._messages = msgspec.json.Decoder(SocketMessage)
        self._names = msgspec.json.Decoder(ServiceName)
        self._texts = msgspec.json.Decoder(dict[str, str])
        self.log = get_logger(program="rvi-node")

    async def start(self) -> None:
        """Listen; ``port`` is then the real one.

        Raises:
            StartError: the address is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: SocketProtocol(self), self._host, self.port, backlog=1024)
        except OSError as error:
            detail = f"cannot listen on {self._host}:{self.port}: {error.strerror or error}"
            raise StartError(detail, exit_code=1) from None
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._watcher = asyncio.create_task(self._watch(), name="websocket:watch")

    async def stop(self) -> None:
        """Accept nothing more and close."""
        if self._server is None or self._watcher is None:
            return
        self._server.close()
        self._watcher.cancel()
        for socket in list(self._sockets):
            socket.close()

    def add(self, socket: SocketProtocol) -> bool:
        """Count a socket in, unless there are too many."""
        if len(self._sockets) >= MAX_CONNECTIONS:
            return False
        self._sockets.add(socket)
        return True

    def remove(self, socket: SocketProtocol) -> None:
        """Count a socket out; its services go with it."""
        self._sockets.discard(socket)
        self._node.unregister_all(socket.url)

    def refuse(self, reason: str) -> bytes:
        """Count what gets no answer."""
        metrics.REFUSED.labels("rvi-node", reason).inc()
        return b""

    def handle(self, content: bytes, socket: SocketProtocol) -> bytes | Awaitable[bytes]:
        """Answer one text; the empty answer is none."""
        try:
            request = self._requests.decode(content)
            if request.jsonrpc is not None:
                return self._as_http(content)
            call_id = bytes(request.id)
            if not call_id:
                return self.refuse("websocket_request")
            params = request.params
            if bytes(params)[:1] == b'"':
                params = msgspec.Raw(msgspec.json.decode(params, type=str).encode())
            result = self._call(request.method, params, socket)
        except REFUSALS as error:
            return self.refuse(getattr(error, "code", None) or "websocket_request")
        if result is None:
            return self.refuse("unknown_method")
        if isinstance(result, dict):
            return _flat(call_id, result)
        return self._finish(call_id, result)

    def _call(self, method: str, params: msgspec.Raw, socket: SocketProtocol) -> Result | Awaitable[Result] | None:
        if method == "message":
            message = self._messages.decode(params)
            content = MessageParams(message.service_name, message.timeout, self._parameters(message.parameters))
            result = self._edge.take(content)
            return message_result(result) if isinstance(result, int) else result
        if method == "register_service":
            name = self._node.register(self._names.decode(params).service_name, socket)
            return {"status": 0, "service": name, "method": "register_service"}
        if method == "unregister_service":
            self._node.unregister(self._names.decode(params).service_name)
            return {"status": 0}
        if method == "get_available_services":
            return self._edge.get_available_services(params)
        if method == "get_node_service_prefix":
            return self._edge.get_node_service_prefix(params)
        return None

    def _parameters(self, parameters: msgspec.Raw) -> msgspec.Raw:
        """Take the values out of the texts that hold them; each must be whole, or one could bring others with it."""
        if bytes(parameters)[:1] == b"[":
            return parameters
        texts = self._texts.decode(parameters)
        values: dict[str, Any] = {name: msgspec.json.decode(text) for name, text in texts.items()}
        return msgspec.Raw(msgspec.json.encode(values))

    def _as_http(self, content: bytes) -> bytes | Awaitable[bytes]:
        answered = self._edge.handle(content)
        return answered[1] if isinstance(answered, tuple) else _body(answered)

    async def _finish(self, call_id: bytes, pending: Awaitable[Result]) -> bytes:
        try:
            return _flat(call_id, await pending)
        except REFUSALS as error:
            return self.refuse(getattr(error, "code", None) or "websocket_request")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = asyncio.get_running_loop().time()
            for socket in list(self._sockets):
                socket.tick(now)


async def _body(answered: Awaitable[tuple[int, bytes]]) -> bytes:
    return (await answered)[1]


def _flat(call_id: bytes, result: Result) -> bytes:
    return b'{"id":%b,%b' % (call_id, msgspec.json.encode(result)[1:])
