"""The RVI node of a simulated vehicle: the real link, and just enough of a node behind it.

Towards the backend it is a node like any other: identity, TLS, greeting, announcements, rights, reconnection (all of
it ``sota.rvi``). Towards the SOTA Client it answers the same calls as a real node's edge. It keeps nothing on disk:
a message that cannot leave now is refused, and the client tries again, as with a node that is away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from sota.boundaries.services import BACKEND_SERVICES, short_name, vehicle_service
from sota.fleet.delivery import DeliveryQueues
from sota.fleet.memory_network import MemoryNetwork
from sota.kit.http.client import Response
from sota.kit.runtime.logging import get_logger
from sota.rvi.connection import PeerConnection
from sota.rvi.context import LinkContext
from sota.rvi.credentials import CredentialError, Identity
from sota.rvi.link import Link
from sota.rvi.message import Message
from sota.rvi.names import ServiceTable
from sota.rvi.routes import Routes
from sota.rvi.settings import NodeSettings

EDGE_PORT = 9001
NO_CODE = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"%b"}}'


class _Call(msgspec.Struct):
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _Registered(msgspec.Struct):
    service: str
    network_address: str


class _Sent(msgspec.Struct):
    service_name: str
    timeout: int
    parameters: msgspec.Raw


class Observer:
    """Sees what passes; may change what arrives."""

    def arrives(self, service: str, parameters: bytes) -> bytes:
        """See a message for the vehicle (short name of its service); gives it, as the client shall get it."""
        del service
        return parameters

    def leaves(self, service: str, parameters: bytes) -> None:
        """See a message of the vehicle that went out."""

    def connected(self, is_connected: bool) -> None:
        """See the connection come and go."""


class FleetNode:
    """One vehicle's node; ``memory`` joins it with the vehicle's programs."""

    def __init__(
        self, settings: NodeSettings, vin: str, memory: MemoryNetwork, table: ServiceTable, observer: Observer
    ) -> None:
        self.settings, self._vin, self._memory, self._table = settings, vin, memory, table
        self._observer = observer
        self._identity: Identity | None = None
        self._addresses: dict[str, str] = {}
        self._routes = Routes()
        self._link: Link | None = None
        self._deliveries = DeliveryQueues(memory, settings.local_queue)
        self._decoders = _DECODERS
        self._log = get_logger(program="fleet")

    # Life

    def open(self) -> None:
        """Read the identity and answer the vehicle's programs.

        Raises:
            CredentialError: the identity cannot be used.
        """
        self._identity = Identity.read(self.settings.identity, time.time())
        if self._identity.rights.to_receive(self.settings.prefix_path, time.time()) is None:
            raise CredentialError(f"the credential in {self.settings.identity} is not for {self._vin}")
        self._memory.serve(EDGE_PORT, self._answer)

    async def connect(self) -> None:
        """Connect to the backend, and stay connected."""
        if self._link is None and self._identity is not None:
            self._link = Link(LinkContext(self.settings, self._identity, self._table, self, self._log))
            await self._link.start()

    async def disconnect(self) -> None:
        """End the connection, as a vehicle that drives into a tunnel does."""
        link, self._link = self._link, None
        if link is not None:
            connections = list(link.connections)
            await link.stop_accepting()
            for connection in connections:
                connection.abort()
                self._forget(connection)

    async def close(self) -> None:
        """End everything."""
        await self.disconnect()
        self._memory.leave(EDGE_PORT)
        await self._deliveries.close()

    # What the SOTA Client asks for

    def _answer(self, _method: str, _target: str, _headers: Mapping[str, str], body: bytes) -> Response:
        try:
            call = self._decoders[_Call].decode(body)
            handler = self._methods.get(call.method)
            if handler is None:
                return _result({"status": 1})
            return handler(self, call.params)
        except msgspec.MsgspecError as error:
            return Response(200, {}, NO_CODE % str(error).replace('"', "'").encode())

    def _message(self, params: msgspec.Raw) -> Response:
        sent = self._decoders[_Sent].decode(params)
        parameters = bytes(sent.parameters)
        connection = self._routes.find(sent.service_name)
        message = Message(sent.service_name, parameters, sent.timeout * 1000, float(sent.timeout))
        if connection is None or not connection.offer(message):
            return Response(503, {}, b"")
        self._observer.leaves(short_name(sent.service_name), parameters)
        return _result({"status": 0, "transaction_id": 1, "method": "message"})

    def _register(self, params: msgspec.Raw) -> Response:
        registered = self._decoders[_Registered].decode(params)
        name = vehicle_service(self._vin, short_name(registered.service))
        if name not in self._addresses and self._link is not None:
            self._link.announce([name], available=True)
        self._addresses[name] = registered.network_address
        return _result({"status": 0, "service": name, "method": "register_service"})

    def _available(self, _params: msgspec.Raw) -> Response:
        names = [*self._addresses, *self._routes.names()]
        return _result({"status": 0, "services": names, "method": "get_available_services"})

    def _prefix(self, _params: msgspec.Raw) -> Response:
        prefix = self.settings.prefix_path
        return _result({"status": 0, "node_service_prefix": prefix, "method": "get_node_service_prefix"})

    _methods: Mapping[str, Callable[[FleetNode, msgspec.Raw], Response]] = {
        "message": _message,
        "register_service": _register,
        "get_available_services": _available,
        "get_node_service_prefix": _prefix,
    }

    # What the link tells (rvi.context.Owner)

    def local_services(self) -> Iterable[str]:
        """Give the full names of the services registered here."""
        return list(self._addresses)

    def opened(self, connection: PeerConnection) -> bool:
        """Say whether one more connection is welcome."""
        return self._link is not None and self._link.add(connection)

    def announced(self, connection: PeerConnection, names: list[str]) -> None:
        """The backend has these services: tell the client, who may have waited for them."""
        was_away = not self._routes.names()
        self._routes.add(connection, names)
        if was_away and any(short_name(name) in BACKEND_SERVICES for name in names):
            self._observer.connected(True)
            self._tell_client("services_available", names)

    def withdrawn(self, connection: PeerConnection, names: list[str]) -> None:
        """The backend has these services no more."""
        was_there = bool(self._routes.names())
        gone = self._routes.remove(connection, names)
        if was_there and not self._routes.names():
            self._observer.connected(False)
            self._tell_client("services_unavailable", gone)

    def received(self, connection: PeerConnection, message: Message) -> None:
        """Hand a message to the client; while it has too many, nothing more is read from the link."""
        url = self._addresses.get(message.service)
        if url is None:
            return
        service = short_name(message.service)
        parameters = self._observer.arrives(service, message.parameters)
        full = self._deliveries.add(service, url, _callback(service, parameters), message.ends)
        if full is not None:
            connection.pause_reading(full)

    def closed(self, connection: PeerConnection) -> None:
        """Forget a connection."""
        if self._link is not None:
            self._link.connections.discard(connection)
        self._forget(connection)

    def _forget(self, connection: PeerConnection) -> None:
        self.withdrawn(connection, list(connection.announced))

    def _tell_client(self, method: str, names: list[str]) -> None:
        url = next(iter(self._addresses.values()), None)
        if url is not None:
            body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"services": names}})
            self._deliveries.add(method, url, body, time.monotonic() + 60.0)


def _callback(service: str, parameters: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"message","params":{"service_name":"/sota/%b","parameters":%b}}' % (
        service.encode(),
        parameters,
    )


def _result(fields: Mapping[str, Any]) -> Response:
    return Response(200, {}, b'{"jsonrpc":"2.0","id":1,"result":%b}' % msgspec.json.encode(fields))


_DECODERS: Mapping[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (_Call, _Registered, _Sent)
}
