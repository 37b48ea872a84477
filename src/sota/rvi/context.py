"""What all connections of a node share, and how they see the node."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sota.kit.runtime.logging import get_logger
from sota.rvi.codec import Codec
from sota.rvi.credentials import Identity, Rights, read_all
from sota.rvi.message import Message
from sota.rvi.names import ServiceTable
from sota.rvi.revocation import Revocations
from sota.rvi.settings import NodeSettings

Connection_contra = TypeVar("Connection_contra", contravariant=True)


class LinkOwner(Protocol[Connection_contra]):
    """The node, as its connections (of type ``Connection_contra``) see it."""

    def local_services(self) -> Iterable[str]:
        """Give the full names of the services registered here."""
        ...

    def opened(self, connection: Connection_contra) -> bool:
        """Say whether one more connection is welcome."""
        ...

    def announced(self, connection: Connection_contra, names: list[str]) -> None:
        """Take note of services of the peer."""
        ...

    def withdrawn(self, connection: Connection_contra, names: list[str]) -> None:
        """Take note of services that the peer has no more."""
        ...

    def received(self, connection: Connection_contra, message: Message) -> None:
        """Take a message for a service of this node."""
        ...

    def closed(self, connection: Connection_contra) -> None:
        """Take note of the end of a connection."""
        ...


@dataclass(slots=True)
class LinkContext(Generic[Connection_contra]):
    """What all connections of a node share."""

    settings: NodeSettings
    identity: Identity
    table: ServiceTable
    owner: LinkOwner[Connection_contra]
    log: Any = field(default_factory=get_logger)
    greetings: dict[str, bytes] = field(default_factory=dict)
    revocations: Revocations = field(default_factory=lambda: Revocations(None))
    confirms: bool = False
    """Whether messages are confirmed, for peers that ask for it: the owner must settle each that it received."""
    generation: int = 0
    """How often the identity has changed."""

    def present(self, identity: Identity) -> None:
        """Be this one from now on, towards every new connection."""
        self.identity = identity
        self.generation += 1
        self.greetings.clear()

    def validity_moment(self) -> float | None:
        """Give the moment that validities are compared with; None if they are not."""
        return time.time() if self.settings.trust_clock else None

    def rights_of(self, creds: list[Any], certificate: bytes | None) -> tuple[Rights, Sequence[str]]:
        """Return what these credentials allow a peer with this certificate, and why others of them do not count."""
        moment = self.validity_moment()
        credentials, reasons = read_all(self.identity.anchor, creds, now=moment, certificate=certificate)
        return Rights.of_peer(credentials), reasons

    def greeting(self, codec: Codec, *, secure: bool = True) -> bytes:
        """Give this node's ``au``. A real node's version is that of the link, not of the language."""
        version = "1.0" if secure else "1.1"
        if (key := f"{codec.name} {version}") not in self.greetings:
            tokens = [credential.token for credential in self.identity.rights.credentials]
            extension = {"ack": True} if self.confirms else {}
            self.greetings[key] = codec.encode({"cmd": "au", "ver": version, "creds": tokens, **extension})
        return self.greetings[key]
