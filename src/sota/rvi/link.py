"""The data link: listens for other nodes, connects to configured ones, and supervises all connections.

* TLS is mutual: both sides present a certificate of the trust anchor, and no other is accepted. Names in certificates
  are not compared: rights are in the credentials, which are bound to the certificate.
* A renewed identity takes effect without a restart: new connections use it at once, the others are replaced over
  minutes.
* A lost connection is made again after a pause that doubles, with jitter. The pause shrinks only after a connection has
  lasted, so that a node which accepts and drops is not flooded.
"""

from __future__ import annotations

import asyncio
import math
import random
import resource
import socket
import ssl
from collections.abc import Iterable

from sota.kit.errors import StartError
from sota.kit.http.local_server import bind
from sota.rvi.codec import JSON, MSGPACK, Codec
from sota.rvi.connection import PeerConnection
from sota.rvi.context import LinkContext
from sota.rvi.credentials import Identity
from sota.rvi.handshake_failures import HandshakeFailures
from sota.rvi.settings import read_peer

HANDSHAKE_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
LASTING_S = 30.0
MAX_TICK_S = 5.0
BACKLOG = 4096
RENEWAL_S = 300.0
SPARE_FILES = 1000
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


class Link:
    """All connections of a node to other nodes."""

    def __init__(self, context: LinkContext[PeerConnection]) -> None:
        self._context = context
        self._handshake_failures = HandshakeFailures(context.log)
        self._servers: list[asyncio.Server] = []
        self._secure_server: asyncio.Server | None = None
        self._secure_socket: socket.socket | None = None
        self._client_tls: ssl.SSLContext | None = None
        self._renewing_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.connections: set[PeerConnection] = set()
        self.tls_port = self.tcp_port = 0

    async def start(self) -> None:
        """Listen, and start to connect.

        Raises:
            StartError: an address is taken, or a certificate is unusable.
        """
        settings = self._context.settings
        peers = [read_peer(text) for text in settings.peers]
        if settings.tls_port:
            self._secure_socket = bind(settings.link_host, settings.tls_port, BACKLOG)
            self.tls_port = int(self._secure_socket.getsockname()[1])
            await self._listen(self._secure_socket, self._server_tls())
        if settings.tcp_port:
            plain = bind(settings.link_host, settings.tcp_port, BACKLOG)
            self.tcp_port = int(plain.getsockname()[1])
            await self._listen(plain, None)
            plain.close()  # a duplicate listens
        if any(address.scheme != "tcp" for address, _ in peers):
            self._client_tls = self._make_client_tls()
        for address, language in peers:
            codec = MSGPACK if language == "msgpack" else JSON
            host, port = str(address.hostname), int(address.port or 0)
            folder = self._stay_connected(host, port, codec, secure=address.scheme != "tcp")
            self._tasks.append(asyncio.create_task(folder, name=f"peer:{host}:{port}"))
        self._tasks.append(asyncio.create_task(self._watch(), name="link:watch"))

    def add(self, connection: PeerConnection) -> bool:
        """Add a connection; False if there are too many."""
        if len(self.connections) >= self._context.settings.max_peers:
            return False
        self.connections.add(connection)
        return True

    def announce(self, names: Iterable[str], *, available: bool) -> None:
        """Announce services that come or go to every peer."""
        chosen = list(names)
        for connection in self.connections:
            connection.announce(chosen, available=available)

    async def stop_accepting(self) -> None:
        """Accept and make no more connections."""
        for server in self._servers:
            server.close()
        if self._secure_socket is not None:
            self._secure_socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self, timeout_s: float) -> None:
        """Close all connections, after they had time to send what waits."""
        ends = [connection.ended for connection in self.connections]
        for connection in list(self.connections):
            connection.close()
        if ends:
            await asyncio.wait(ends, timeout=timeout_s)
        for connection in list(self.connections):
            connection.abort()

    async def renew(self) -> None:
        """Use the context's new identity: at once for new connections, one by one for open ones.

        Raises:
            StartError: a certificate is unusable.
        """
        if self._client_tls is not None:
            self._client_tls = self._make_client_tls()
        if self._secure_socket is not None:
            # Both listen on one socket, so that no connection is refused in between.
            old = self._secure_server
            await self._listen(self._secure_socket, self._server_tls())
            if old is not None:
                old.close()
                self._servers.remove(old)
        for connection in list(self.connections):
            if connection.initiator:
                connection.close()
            else:
                connection.check_trust()
        self._renewing_until = asyncio.get_running_loop().time() + RENEWAL_S

    def _server_tls(self) -> ssl.SSLContext:
        context = server_context(self._context.identity, trust_clock=self._context.settings.trust_clock)
        return self._handshake_failures.watch(context)

    def _make_client_tls(self) -> ssl.SSLContext:
        return client_context(self._context.identity, trust_clock=self._context.settings.trust_clock)

    async def _listen(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        secure = tls is not None
        server = await asyncio.get_running_loop().create_server(
            # A TLS peer's first byte shows its encoding; a TCP peer is answered in JSON in any case.
            lambda: PeerConnection(self._context, None if secure else JSON, secure=secure, initiator=False),
            sock=listening.dup(),
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if secure else None,
            backlog=BACKLOG,
        )
        self._servers.append(server)
        if secure:
            self._secure_server = server

    async def _stay_connected(self, host: str, port: int, codec: Codec, *, secure: bool) -> None:
        settings, loop = self._context.settings, asyncio.get_running_loop()
        pause = settings.reconnect_s
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    _, connection = await loop.create_connection(
                        lambda: PeerConnection(self._context, codec, secure=secure, initiator=True),
                        host,
                        port,
                        ssl=self._client_tls if secure else None,
                        server_hostname=host if secure else None,
                    )
                error = await connection.ended
                if secure and not connection.greeted:
                    self._handshake_failures.failed("connecting", error, f"{host}:{port}")
                if connection.generation != self._context.generation or (
                    connection.greeted and loop.time() - began > LASTING_S
                ):
                    pause = settings.reconnect_s
            except ssl.SSLError as refusal:
                self._handshake_failures.failed("connecting", refusal, f"{host}:{port}")
            except (OSError, TimeoutError) as error:
                self._context.log.info("peer_not_reached", address=f"{host}:{port}", error=str(error) or "time-out")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, settings.reconnect_max_s)

    async def _watch(self) -> None:
        settings, loop = self._context.settings, asyncio.get_running_loop()
        shortest = min(settings.ping_interval_s, settings.dead_after_s, settings.greeting_timeout_s)
        while True:
            await asyncio.sleep(min(MAX_TICK_S, shortest / 4))
            now = loop.time()
            for connection in list(self.connections):
                connection.tick(now)
            self._replace_old(now)

    def _replace_old(self, now: float) -> None:
        """Close connections of an earlier identity one by one, over some minutes: their vehicles reconnect at once."""
        if not self._renewing_until:
            return
        old = [one for one in self.connections if one.generation != self._context.generation]
        ticks_left = max(1.0, (self._renewing_until - now) / MAX_TICK_S)
        for connection in old[: math.ceil(len(old) / ticks_left)]:
            connection.close()
        if not old:
            self._renewing_until = 0.0


def allow_files(peers: int) -> None:
    """Raise the limit of open files to the number of connections, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = peers + SPARE_FILES if hard == resource.RLIM_INFINITY else min(peers + SPARE_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def server_context(identity: Identity, *, trust_clock: bool = True) -> ssl.SSLContext:
    """Return the TLS settings of the listening side; they refuse a client without our authority's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # connections are long: tickets would only cost memory
    return _context(context, identity, trust_clock=trust_clock)


def client_context(identity: Identity, *, trust_clock: bool = True) -> ssl.SSLContext:
    """Return the TLS settings of the connecting side; the server's rights are in its credential, not its host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _context(context, identity, trust_clock=trust_clock)


def _context(context: ssl.SSLContext, identity: Identity, *, trust_clock: bool) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    if not trust_clock:
        context.verify_flags |= NO_CHECK_TIME
    try:
        context.load_verify_locations(identity.folder / "root.pem")
        context.load_cert_chain(identity.folder / "device.pem", identity.folder / "device.key")
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"cannot use the certificate in {identity.folder}: {error}") from None
    return context
