"""Settings of an RVI node: see ``sota rvi-node --help``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from sota.kit.errors import StartError
from sota.kit.runtime.settings import Annotated, Meta, Port, Seconds, Settings

PEER_SCHEMES = {"tls": "msgpack", "tls+json": "json", "tcp": "json"}


class NodeSettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Settings; the defaults are those of the backend's node.

    A vehicle's node sets ``role``, ``prefix``, ``edge_port`` (9001), ``tls_port`` (0) and ``peers``.
    """

    role: Annotated[str, Meta(pattern="^(server|client)$", description="server (backend) or client (vehicle).")] = (
        "server"
    )
    prefix: Annotated[str, Meta(min_length=1, max_length=200, description="Prefix of this node's services.")] = (
        "genivi.org/backend"
    )
    identity: Annotated[
        Path, Meta(description="Folder with root.pem, device.pem, device.key and the credentials (*.jwt).")
    ] = Path("var/identity")
    revoked: Annotated[
        Path | None,
        Meta(description="File of revoked certificates (SHA-256 fingerprints) and credentials (ids), one a line."),
    ] = None
    trust_clock: Annotated[bool, Meta(description="Check validities; no, if this machine's clock may be wrong.")] = True
    edge_port: Annotated[Port, Meta(description="TCP port of the service edge; 0 takes a free one.")] = 8801
    ws_port: Annotated[Port, Meta(description="Port of the edge over WebSocket (8808, 9008); 0 turns it off.")] = 0
    link_host: Annotated[str, Meta(description="Address on which other nodes connect.")] = "127.0.0.1"
    tls_port: Annotated[Port, Meta(description="Port of the TLS link; 0 turns it off.")] = 8810
    tcp_port: Annotated[
        Port, Meta(description="Port of the plain TCP link (8807), which exposes credentials; 0: off.")
    ] = 0
    peers: Annotated[
        tuple[str, ...], Meta(description="Nodes to connect to: tls://host:port, tls+json://… or tcp://….")
    ] = ()
    extra_services: Annotated[
        tuple[str, ...], Meta(description="Further services, beyond the whitelist's, as patterns below a prefix.")
    ] = ()

    ping_interval_s: Annotated[float, Meta(gt=0, le=300, description="Interval of signs of life to a peer.")] = 60.0
    dead_after_s: Annotated[
        float, Meta(gt=0, description="A peer is disconnected after this silence; rvi_core sends every 300 s.")
    ] = 660.0
    greeting_timeout_s: Annotated[Seconds, Meta(description="Time for a new connection to greet.")] = 10.0
    reconnect_s: Annotated[Seconds, Meta(description="First pause before connecting again; it doubles each time.")] = (
        1.0
    )
    reconnect_max_s: Annotated[Seconds, Meta(description="Longest pause before connecting again.")] = 60.0
    confirmations: Annotated[bool, Meta(description="Offer confirmed messages; a real rvi_core ignores the offer.")] = (
        True
    )
    back_pressure_s: Annotated[
        float, Meta(gt=0, le=60, description="Time to wait for a slow peer before the disk is used.")
    ] = 5.0
    callback_timeout_s: Annotated[Seconds, Meta(description="Time for a local service to answer a callback.")] = 10.0
    callback_peer: Annotated[
        bool,
        Meta(
            description="Name the sender (peer) in callbacks beside service_name and parameters. SOTA's programs "
            "need it; no, for other programs that take exactly those two."
        ),
    ] = True
    drain_s: Annotated[Seconds, Meta(description="Time for deliveries to end when the node stops.")] = 5.0
    max_peers: Annotated[int, Meta(ge=1, description="Connections to other nodes at the same time.")] = 20_000
    # rvi_core has no limit, and was seen to pass on 30 MB.
    max_message: Annotated[int, Meta(ge=1024, le=1 << 30, description="Largest message in bytes.")] = 32 << 20
    send_queue: Annotated[int, Meta(ge=1024, description="Bytes that may wait for one peer in memory.")] = 4 << 20
    local_queue: Annotated[int, Meta(ge=1024, description="Bytes that may wait for one service in memory.")] = 16 << 20
    stored_messages: Annotated[int, Meta(ge=1, description="Messages kept on disk for absent peers.")] = 1_000_000
    stored_bytes: Annotated[int, Meta(ge=1024, description="Bytes kept on disk for absent peers.")] = 1 << 30

    @property
    def prefix_path(self) -> str:
        """The prefix with a slash at its end, as in every full name."""
        return self.prefix.rstrip("/") + "/"


def read_peer(text: str) -> tuple[SplitResult, str]:
    """Parse the address of a peer; returns it and the encoding to use.

    Raises:
        StartError: it is not an address of a node.
    """
    with contextlib.suppress(ValueError):
        address = urlsplit(text)
        if address.hostname and address.port and address.scheme in PEER_SCHEMES:
            return address, PEER_SCHEMES[address.scheme]
    raise StartError(
        f"peers: {text!r} is not a node's address: write tls://host:port, tls+json://host:port or tcp://host:port"
    )
