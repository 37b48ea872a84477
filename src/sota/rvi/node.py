"""The RVI node: which message goes where, and when.

A message goes
1. to the local service, if its name begins with this node's prefix;
2. else over the link that announced the name;
3. else, or if that way is not open now, to the disk, until it opens or the message's time is over.

Messages of one service keep their order: while some wait on the disk, later ones go behind them. ::

    node = Node(NodeSettings(identity=Path("identity"), data=Path("var/rvi-node")))
    await node.start(); await node.stop()  # every delivery has ended, or its message is on disk
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.boundaries.services import VEHICLE_PREFIX
from sota.kit.errors import Refused, StartError, Unavailable
from sota.kit.http.client import Response
from sota.kit.runtime import metrics
from sota.kit.runtime.background import Background
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.memory import keep_freed
from sota.rvi import counters
from sota.rvi.calendar import Calendar
from sota.rvi.callback import Address
from sota.rvi.connection import PeerConnection
from sota.rvi.context import LinkContext
from sota.rvi.credentials import CredentialError
from sota.rvi.database import NodeDatabase
from sota.rvi.delivery import LocalServices
from sota.rvi.edge import Edge, edge_server
from sota.rvi.identity_folder import IdentityFolder, look
from sota.rvi.link import Link, allow_files
from sota.rvi.message import Message
from sota.rvi.message_store import MessageStore
from sota.rvi.names import ServiceTable, declared_services, vin_of
from sota.rvi.queue_drainer import QueueDrainer, Sink
from sota.rvi.revocation import Revocations
from sota.rvi.routes import Routes
from sota.rvi.service_queue import Answer
from sota.rvi.settings import NodeSettings

if TYPE_CHECKING:
    from sota.rvi.edge_ws import SocketServer

TICK_S = 1.0
DATABASE_FILE = "messages.sqlite3"


class Node:
    """An RVI node, in either role: a program, as ``kit/runtime/program.py`` runs them."""

    name = "rvi-node"

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self._prefix = settings.prefix_path
        self.log = get_logger(program="rvi-node", role=settings.role)
        self.table = ServiceTable(settings.extra_services)
        self.routes = Routes()
        self.services = LocalServices(settings)
        self._database = NodeDatabase(settings.data / DATABASE_FILE)
        self.store = MessageStore(
            self._database, max_messages=settings.stored_messages, max_bytes=settings.stored_bytes
        )
        self.calendar = Calendar(self._database)
        self._drainer = QueueDrainer(self.store, self._sink)
        self._background = Background()
        self._stopping = False
        edge = Edge(self)
        self._edge = edge_server(edge, settings)
        self._sockets = _socket_server(self, edge) if settings.ws_port else None
        self._link: Link | None = None
        self._context: LinkContext[PeerConnection] | None = None
        self._identity_folder = IdentityFolder(settings)

    # Start and stop

    async def start(self) -> None:
        """Read the identity, open the disk, listen; returns when the node can be used.

        Raises:
            StartError: a file is missing or unusable, or an address is taken.
        """
        settings = self.settings
        if settings.role == "server":
            keep_freed()
        try:
            identity = self._identity_folder.read()
        except CredentialError as error:
            raise StartError(str(error)) from None
        allow_files(settings.max_peers)
        await self._database.open()
        await self.store.open()
        await self.calendar.open()
        revocations = Revocations(settings.revoked, self.log)
        revocations.refresh()
        confirms = settings.confirmations
        self._context = LinkContext(settings, identity, self.table, self, self.log, revocations, confirms=confirms)
        self._link = Link(self._context)
        await self._link.start()
        await self._edge.start()
        if self._sockets is not None:
            await self._sockets.start()
        self._background.keep("rvi-node:watch", partial(self._watch, self._link, self._context))
        self.log.info("node_started", edge=self.edge_url, tls=self._link.tls_port, tcp=self._link.tcp_port)

    async def stop(self) -> None:
        """Accept nothing more, let deliveries end (``drain_s``), and store on disk what was not delivered."""
        self._stopping = True
        await self._background.stop()
        if self._link is not None:  # first: a real node whose connection is dropped never tries again
            await self._link.stop_accepting()
        await self._edge.stop()
        if self._sockets is not None:
            await self._sockets.stop()
        await self._drainer.stop()
        self.store.keep(await self.services.drain(self.settings.drain_s))
        if self._link is not None:
            await self._link.close(self.settings.drain_s)
        await self._database.close()
        self.log.info("node_stopped")

    @property
    def is_listening(self) -> bool:
        """Whether the node can be used."""
        return self._background.is_running and not self._stopping

    async def trouble(self) -> str | None:
        """Return why local services cannot use the node."""
        if not self.is_listening:
            return "it does not listen"
        return self._database.refuses or self._background.trouble()

    @property
    def edge_url(self) -> str:
        """The address of the service edge."""
        return f"http://{self.settings.host}:{self._edge.port}"

    @property
    def is_connected(self) -> bool:
        """Whether at least one other node has greeted."""
        return self._link is not None and any(connection.greeted for connection in self._link.connections)

    # For the edge

    def check(self, service: str) -> None:
        """Check that a message to this service may leave.

        Raises:
            Refused: the whitelist does not name it, or this node has no right to it.
        """
        if not self.table.allows(service):
            metrics.REFUSED.labels("rvi-node", "unknown_service").inc()
            raise Refused("unknown_service", f"{service[:100]!r} is no service of the whitelist.", status=404)
        if self._context is None or self._context.identity.rights.to_invoke(service, time.time()) is None:
            metrics.REFUSED.labels("rvi-node", "right_to_invoke").inc()
            raise Refused("right_to_invoke", f"No credential of this node allows it to send to {service}.", status=403)

    def is_local(self, service: str) -> bool:
        """Report whether a service name is one of this node's own."""
        return service.startswith(self._prefix)

    def send_now(self, message: Message) -> bool:
        """Send a message over its link if it can go now; False if it must be queued."""
        connection = self.routes.find(message.service)
        if connection is None or self.store.has_waiting(message.service):
            return False
        message.place = self.store.reserve()
        if not connection.offer(message):
            return False
        counters.MESSAGES["sent"] += 1
        return True

    async def queue(self, message: Message) -> None:
        """Send a message as soon as possible; returns when it is sent, in its service's queue, or on disk.

        Raises:
            Unavailable: there is no room for it.
        """
        sink = self._sink(message.service)
        if sink is not None and not self.store.has_waiting(message.service):
            if sink.offer(message):
                return
            # A slow peer or service first slows its senders down; then the disk is used.
            if (
                await sink.writable(self.settings.back_pressure_s)
                and not self.store.has_waiting(message.service)
                and sink.offer(message)
            ):
                return
        counters.MESSAGES["stored"] += 1
        await asyncio.shield(self.store.append(message))
        self._drainer.start(message.service)

    async def ask(self, message: Message) -> Response | None:
        """Hand a message to a local service and wait a while for its answer; None if there is none in time.

        Raises:
            Unavailable: there is no room for it.
        """
        service = self.services.find(message.service)
        answer: Answer = asyncio.get_running_loop().create_future()
        if service is None or self.store.has_waiting(message.service) or not service.offer(message, answer):
            await self.queue(message)
            return None
        try:
            async with asyncio.timeout(self.settings.callback_timeout_s):
                return await answer
        except TimeoutError:
            return None

    def register(self, local_name: str, address: Address) -> str:
        """Register a local service; returns its full name.

        Raises:
            Refused: the whitelist does not name it.
        """
        name = self.settings.prefix_path + local_name.removeprefix("/")
        if not self.table.allows(name):
            metrics.REFUSED.labels("rvi-node", "unknown_service").inc()
            raise Refused("unknown_service", f"{local_name[:100]!r} is no service of the whitelist.", status=404)
        if self.services.register(name, address):
            self.log.info("service_registered", service=local_name)
            self._announce_own([name], available=True)
        self._drainer.start(name)
        return name

    def unregister(self, name: str) -> None:
        """Remove a local service; an unknown one is ignored."""
        if self.services.find(name) is None:
            return
        left = self.services.unregister(name)
        self.store.keep(left)
        self.log.info("service_unregistered", service=name.removeprefix(self.settings.prefix_path))
        self._announce_own([name], available=False)

    def unregister_all(self, url: str) -> None:
        """Remove the services at an address that has gone."""
        for name in self.services.names_at(url):
            self.unregister(name)

    def known_services(self) -> list[str]:
        """Return the names of all services, local and remote."""
        return [*self.services, *self.routes.names()]

    async def schedule(self, updates: Sequence[ScheduledUpdate]) -> list[str]:
        """Store scheduled updates; Core is notified at once of vehicles that are connected in their interval.

        Raises:
            Refused: an interval is over already.
            Unavailable: the updates cannot be stored.
        """
        now = time.time()
        for update in updates:
            if update.interval.end.timestamp() <= now:
                raise Refused("scheduling_failed", f"The interval of update {update.update_id} is over.", status=412)
        await asyncio.shield(self.calendar.add(updates))
        vins = list(dict.fromkeys(update.vin for update in updates))
        for vin in vins:
            self._notify_awaited(vin, now)
        return vins

    async def unschedule(self, updates: Sequence[UnscheduledUpdate]) -> list[str]:
        """Withdraw scheduled updates.

        Raises:
            Unavailable: the change cannot be stored.
        """
        await asyncio.shield(self.calendar.remove(updates))
        return list(dict.fromkeys(update.vin for update in updates))

    # Events of the link (context.LinkOwner)

    def local_services(self) -> Iterable[str]:
        """Return the full names of the services registered here."""
        return list(self.services)

    def opened(self, connection: PeerConnection) -> bool:
        """Count a new connection in; False if there are too many."""
        welcome = not self._stopping and self._link is not None and self._link.add(connection)
        if welcome:
            counters.CONNECTIONS.labels(self.settings.role).inc()
        return welcome

    def announced(self, connection: PeerConnection, names: list[str]) -> None:
        """Route to a peer's services, notify the local ones, send what waited."""
        self.routes.add(connection, names)
        if names and not self._stopping:
            self.services.notify(names, available=True)
        for name in names:
            self._drainer.start(name)
        if len(self.calendar):
            for vin in {vin for name in names if (vin := vin_of(name)) is not None}:
                self.calendar.mark_notified(vin, time.time())

    def withdrawn(self, connection: PeerConnection, names: list[str]) -> None:
        """Stop routing to a peer's services."""
        gone = self.routes.remove(connection, names)
        if gone and not self._stopping:
            self.services.notify(gone, available=False)

    def received(self, connection: PeerConnection, message: Message) -> None:
        """Take a message from a peer for a service of this node."""
        counters.MESSAGES["received"] += 1
        service = self.services.find(message.service)
        if service is not None and not self.store.has_waiting(message.service) and service.offer(message):
            return
        counters.MESSAGES["stored"] += 1
        try:
            connection.pause_reading(self.store.append(message))
        except Unavailable:
            metrics.REFUSED.labels("rvi-node", "store_full").inc()
            return
        self._drainer.start(message.service)

    def closed(self, connection: PeerConnection) -> None:
        """Remove a connection; messages that may not have arrived wait again."""
        if self._link is None or connection not in self._link.connections:
            return
        self._link.connections.discard(connection)
        counters.CONNECTIONS.labels(self.settings.role).dec()
        if arrived := connection.confirmations.confirmed:  # before the disk is read again
            self.store.remove(arrived)
        lost = {service for _, service, _ in connection.confirmations.unconfirmed}
        unconfirmed_messages = connection.take_unconfirmed()
        self.store.keep(unconfirmed_messages)
        lost |= {message.service for message in unconfirmed_messages}
        for service in lost:
            self.store.retry_handed_over(service)
        self.withdrawn(connection, list(connection.announced))
        for service in lost | connection.announced.keys():
            self._drainer.start(service)

    # Background work

    def _sink(self, service: str) -> Sink | None:
        return self.services.find(service) if self.is_local(service) else self.routes.find(service)

    async def _watch(self, link: Link, context: LinkContext[PeerConnection]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await look(self._identity_folder, context, link)
            now = time.time()
            self._drainer.confirm(link.connections)
            self.store.expire()
            self.calendar.expire(now)
            counters.WAITING.labels(self.settings.role).set(self.store.messages)
            if len(self.calendar):
                for connection in link.connections:
                    for vin in {vin_of(name) for name in connection.announced}:
                        self._notify_awaited(vin, now)

    def _notify_awaited(self, vin: str | None, now: float) -> None:
        if vin is None or not self.calendar.needs_notice(vin, now):
            return
        services = (f"{VEHICLE_PREFIX}{vin}/sota/{name}" for name in sorted(declared_services("vehicle")))
        connected = [name for name in services if name in self.routes]
        if connected:
            self.calendar.mark_notified(vin, now)
            self.services.notify(connected, available=True)

    def _announce_own(self, names: list[str], *, available: bool) -> None:
        if self._link is not None:
            self._link.announce(names, available=available)
        self.services.notify(names, available=available)


def _socket_server(node: Node, edge: Edge) -> SocketServer:
    """Create the WebSocket edge; its library is loaded only where this edge is on."""
    try:
        from sota.rvi.edge_ws import SocketServer
    except ModuleNotFoundError as error:
        raise StartError(f"ws_port needs a library that is not installed ({error.name}): sota[websocket]") from None

    return SocketServer(node, edge)
