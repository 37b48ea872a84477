"""What all connections of a node share, and the events that they report to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from structlog.typing import FilteringBoundLogger

from sota.kit.runtime.logging import get_logger
from sota.rvi.codec import Codec
from sota.rvi.credentials import Identity, Rights, read_all
from sota.rvi.message import Message
from sota.rvi.names import ServiceTable
from sota.rvi.revocation import Revocations
from sota.rvi.settings import NodeSettings

Connection_contra = TypeVar("Connection_contra", contravariant=True)


class LinkOwner(Protocol[Connection_contra]):
    """The node, as its connections use it."""

    def local_services(self) -> Iterable[str]:
        """Return the full names of the services registered here."""

    def opened(self, connection: Connection_contra) -> bool:
        """Count a new connection in; False if there are too many."""

    def announced(self, connection: Connection_contra, names: list[str]) -> None:
        """Handle services that the peer announced."""

    def withdrawn(self, connection: Connection_contra, names: list[str]) -> None:
        """Handle services that the peer withdrew."""

    def received(self, connection: Connection_contra, message: Message) -> None:
        """Handle a message for a service of this node."""

    def closed(self, connection: Connection_contra) -> None:
        """Handle the end of a connection."""


@dataclass(slots=True)
class LinkContext(Generic[Connection_contra]):
    """What all connections of a node share."""

    settings: NodeSettings
    identity: Identity
    table: ServiceTable
    owner: LinkOwner[Connection_contra]
    log: FilteringBoundLogger = field(default_factory=get_logger)
    revocations: Revocations = field(default_factory=lambda: Revocations(None))
    confirms: bool = False
    """Whether messages are confirmed to peers that ask for it; then the owner must settle each that it receives."""
    generation: int = 0
    """How often the identity has changed."""

    def present(self, identity: Identity) -> None:
        """Use another identity, for every new connection."""
        self.identity = identity
        self.generation += 1

    def rights_of(self, creds: list[object], certificate: bytes | None) -> tuple[Rights, Sequence[str]]:
        """Return the rights that these credentials give a peer, and why others are refused."""
        moment = time.time() if self.settings.trust_clock else None
        credentials, reasons = read_all(self.identity.anchor, creds, now=moment, certificate=certificate)
        return Rights.of_peer(credentials), reasons

    def greeting(self, codec: Codec, *, secure: bool = True) -> bytes:
        """Return this node's ``au``. As in a real node, its version is the link's, not the encoding's."""
        tokens = [credential.token for credential in self.identity.rights.credentials]
        extension = {"ack": True} if self.confirms else {}
        return codec.encode({"cmd": "au", "ver": "1.0" if secure else "1.1", "creds": tokens, **extension})
