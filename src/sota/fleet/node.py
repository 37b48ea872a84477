"""The RVI node of a simulated vehicle: the real link and deliveries, without a disk.

To the backend it is a node like any other: identity, TLS, greeting, announcements, rights, reconnection (all of it
``sota.rvi``). To the SOTA Client it answers the same calls as a real node's edge. It stores nothing on disk: a message
that cannot be sent now is refused, and the client tries again, as if the node were away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from sota.boundaries.services import BACKEND_SERVICES, short_name, vehicle_service
from sota.fleet.memory_channel import MemoryAddress
from sota.fleet.memory_network import MemoryNetwork
from sota.fleet.observer import ProgressObserver
from sota.kit.http.client import Response
from sota.kit.runtime.logging import get_logger
from sota.rvi.connection import PeerConnection
from sota.rvi.context import LinkContext
from sota.rvi.credentials import Identity
from sota.rvi.delivery import AvailabilityNotifier, LocalService, LocalServices
from sota.rvi.edge_requests import MessageParams, RegisterParams, Request
from sota.rvi.identity_folder import IdentityFolder
from sota.rvi.link import Link
from sota.rvi.message import Message, keep_until
from sota.rvi.names import ServiceTable
from sota.rvi.routes import Routes
from sota.rvi.settings import NodeSettings

EDGE_PORT = 9001
WAIT_S = 5.0
NO_CODE = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"%b"}}'


class FleetNode:
    """One vehicle's node; ``memory`` connects it with the vehicle's programs."""

    def __init__(
        self, settings: NodeSettings, vin: str, memory: MemoryNetwork, table: ServiceTable, observer: ProgressObserver
    ) -> None:
        self.settings, self._vin, self._memory, self._table = settings, vin, memory, table
        self._observer = observer
        self._identity: Identity | None = None
        self._services = LocalServices(settings)
        self._notifier: AvailabilityNotifier | None = None
        self._routes = Routes()
        self._link: Link | None = None
        self._log = get_logger(program="fleet")

    # Start and stop

    def open(self) -> None:
        """Read the identity and answer the vehicle's programs.

        Raises:
            CredentialError: the identity is unusable.
        """
        self._identity = IdentityFolder(self.settings).read()
        self._memory.serve(EDGE_PORT, self._answer)

    async def connect(self) -> None:
        """Connect to the backend, and stay connected."""
        if self._link is None and self._identity is not None:
            self._link = Link(LinkContext(self.settings, self._identity, self._table, self, self._log))
            await self._link.start()

    async def disconnect(self) -> None:
        """End the connection, like a vehicle that enters a tunnel."""
        link, self._link = self._link, None
        if link is not None:
            connections = list(link.connections)
            await link.stop_accepting()
            for connection in connections:
                connection.abort()
                self._forget(connection)

    async def close(self) -> None:
        """Disconnect, and stop all deliveries."""
        await self.disconnect()
        self._memory.handlers.pop(EDGE_PORT, None)
        if self._notifier is not None:
            self._notifier.stop()
        await self._services.drain(0.0)

    # For the SOTA Client

    def _answer(self, _method: str, _target: str, _headers: Mapping[str, str], body: bytes) -> Response:
        try:
            call = _CALL.decode(body)
            handler = self._methods.get(call.method or "")
            if handler is None:
                return _result({"status": 1})
            return handler(self, call.params)
        except msgspec.MsgspecError as error:
            return Response(200, {}, NO_CODE % str(error).replace('"', "'").encode())

    def _message(self, params: msgspec.Raw) -> Response:
        sent = _SENT.decode(params)
        parameters = bytes(sent.parameters)
        connection = self._routes.find(sent.service_name)
        message = Message(sent.service_name, parameters, sent.timeout * 1000, float(sent.timeout))
        if connection is None or not connection.offer(message):
            return Response(503, {}, b"")
        self._observer.leaves(short_name(sent.service_name), parameters)
        return _result({"status": 0, "transaction_id": 1, "method": "message"})

    def _register(self, params: msgspec.Raw) -> Response:
        registered = _REGISTERED.decode(params)
        name = vehicle_service(self._vin, short_name(registered.service))
        address = MemoryAddress(self._memory, registered.network_address)
        if self._services.register(name, address) and self._link is not None:
            self._link.announce([name], available=True)
        self._notifier = self._notifier or AvailabilityNotifier(address, self.settings.callback_timeout_s)
        return _result({"status": 0, "service": name, "method": "register_service"})

    def _available(self, _params: msgspec.Raw) -> Response:
        names = [*self._services, *self._routes.names()]
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

    # Events of the link (rvi.context.LinkOwner)

    def local_services(self) -> Iterable[str]:
        """Return the full names of the services registered here."""
        return list(self._services)

    def opened(self, connection: PeerConnection) -> bool:
        """Count a new connection in; False if there are too many."""
        return self._link is not None and self._link.add(connection)

    def announced(self, connection: PeerConnection, names: list[str]) -> None:
        """Route to the backend's services, and notify the client, which may have waited for them."""
        was_away = not self._routes.names()
        self._routes.add(connection, names)
        if was_away and any(short_name(name) in BACKEND_SERVICES for name in names):
            self._observer.connected(True)
            if self._notifier is not None:
                self._notifier.notify(names, available=True)

    def withdrawn(self, connection: PeerConnection, names: list[str]) -> None:
        """Stop routing to services of the backend."""
        was_there = bool(self._routes.names())
        gone = self._routes.remove(connection, names)
        if was_there and not self._routes.names():
            self._observer.connected(False)
            if self._notifier is not None:
                self._notifier.notify(gone, available=False)

    def received(self, connection: PeerConnection, message: Message) -> None:
        """Deliver a message to the client; while too many wait, nothing more is read from the link."""
        service = self._services.find(message.service)
        if service is None:
            return
        parameters = self._observer.arrives(short_name(message.service), message.parameters)
        if parameters is not message.parameters:
            deadline = keep_until(message.timeout_ms, time.time())
            message = Message(message.service, parameters, message.timeout_ms, deadline, message.peer)
        if not service.offer(message):
            connection.pause_reading(asyncio.ensure_future(_offer_later(service, message)))

    def closed(self, connection: PeerConnection) -> None:
        """Remove a connection."""
        if self._link is not None:
            self._link.connections.discard(connection)
        self._forget(connection)

    def _forget(self, connection: PeerConnection) -> None:
        self.withdrawn(connection, list(connection.announced))


async def _offer_later(service: LocalService, message: Message) -> None:
    while not service.offer(message) and service.is_open:
        await service.writable(WAIT_S)


def _result(fields: Mapping[str, object]) -> Response:
    return Response(200, {}, b'{"jsonrpc":"2.0","id":1,"result":%b}' % msgspec.json.encode(fields))


_CALL, _SENT = msgspec.json.Decoder(Request), msgspec.json.Decoder(MessageParams)
_REGISTERED = msgspec.json.Decoder(RegisterParams)
