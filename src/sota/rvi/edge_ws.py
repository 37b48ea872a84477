"""The service edge over WebSocket, as rvi_core has it on a port of its own: JSON texts, any path, no extensions.

A request is ``{"id": …, "method": …, "params": …}``; the tools of rvi_core write ``"json-rpc"`` or ``"jsonrpc"`` beside
them. Its answer is flat, without ``result``::

    → {"json-rpc":"2.0","id":"1","method":"register_service","params":{"service_name":"ws/echo"}}
    ← {"id":"1","status":0,"service":"genivi.org/vin/WVW00000000000001/ws/echo","method":"register_service"}

Rules kept here:

* what is refused, unknown, or has no ``id`` gets no answer at all, as from a real node, and is counted;
* ``params`` may be an object or a text that holds one; each value of a message's ``parameters`` is a text that holds
  JSON (``{"a": "1"}``). An array of ours (``[{…}]``) goes as it is;
* a service registered here is called over this socket, and is gone when the socket is;
* requests of one socket are worked on in their order; while one waits, nothing more is read. Requests, connections,
  what waits to be sent, and the time for the handshake and for a sign of life are bounded;
* a web page (``Origin``) is refused; a library that names the node itself there is not one.

Frames and their limits are in ``websocket.py``; both files, and its library, are loaded only where this edge is on.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from sota.kit.http.local_server import LocalServer
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger
from sota.rvi.edge import REFUSALS, Edge, EdgeNode, Result, message_result
from sota.rvi.edge_requests import MessageParams
from sota.rvi.websocket import SocketProtocol

ENVELOPE_BYTES = 64 << 10
TICK_S = 1.0


class SocketRequest(msgspec.Struct):
    """The envelope."""

    method: str
    id: msgspec.Raw = msgspec.Raw()
    params: msgspec.Raw = msgspec.Raw()


class ServiceName(msgspec.Struct):
    """What ``register_service`` and ``unregister_service`` take."""

    service_name: str


class SocketServer(LocalServer[SocketProtocol]):
    """Answers the WebSockets of local programs."""

    def __init__(self, node: EdgeNode, edge: Edge) -> None:
        super().__init__(node.settings.host, node.settings.ws_port)
        self._node, self._edge = node, edge
        self.max_text = node.settings.max_message + ENVELOPE_BYTES
        self._requests = msgspec.json.Decoder(SocketRequest)
        self._messages = msgspec.json.Decoder(MessageParams)
        self._names = msgspec.json.Decoder(ServiceName)
        self._texts = msgspec.json.Decoder(dict[str, str])
        self.log = get_logger(program="rvi-node")

    async def start(self) -> None:
        """Listen: see :meth:`LocalServer.listen`."""
        await self.listen(lambda: SocketProtocol(self), TICK_S)

    def remove(self, socket: SocketProtocol) -> None:
        """Count a socket out; its services go with it."""
        self.connections.discard(socket)
        self._node.unregister_all(socket.url)

    def refuse(self, reason: str) -> bytes:
        """Count what gets no answer."""
        metrics.REFUSED.labels("rvi-node", reason).inc()
        return b""

    def handle(self, content: bytes, socket: SocketProtocol) -> bytes | Awaitable[bytes]:
        """Answer one text; an empty answer means that there is no answer."""
        try:
            request = self._requests.decode(content)
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
            content = self._messages.decode(params)
            content.parameters = self._parameters(content.parameters)
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
        values: dict[str, object] = {name: msgspec.json.decode(text) for name, text in texts.items()}
        return msgspec.Raw(msgspec.json.encode(values))

    async def _finish(self, call_id: bytes, pending: Awaitable[Result]) -> bytes:
        try:
            return _flat(call_id, await pending)
        except REFUSALS as error:
            return self.refuse(getattr(error, "code", None) or "websocket_request")


def _flat(call_id: bytes, result: Result) -> bytes:
    return b'{"id":%b,%b' % (call_id, msgspec.json.encode(result)[1:])
