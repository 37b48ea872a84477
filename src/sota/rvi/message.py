"""A message on its way through the node, and who sent it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of a link: the VIN its credentials speak for, and the one that allowed the message."""

    vin: str | None
    credential: str


@dataclass(slots=True)
class Message:
    """One message to one service.

    ``parameters`` is JSON as it came from the sender, unread. ``deadline`` is unix seconds by this node's own clock;
    ``timeout_ms`` is what the sender said (unix milliseconds), passed on to the next node. ``packed`` keeps the
    parameters in msgpack, once somebody needed them so. ``number`` is the message's place on disk, if it is stored, and
    ``place`` the one it would have. ``confirm`` is called when the sending node need not keep it any more.
    """

    service: str
    parameters: bytes
    timeout_ms: int
    deadline: float
    peer: Peer | None = None
    packed: bytes | None = None
    number: int | None = None
    place: int | None = None
    confirm: Callable[[], None] | None = None

    def settle(self) -> None:
        """Tell the sending node that this one has done with the message, or keeps it on disk."""
        confirm, self.confirm = self.confirm, None
        if confirm is not None:
            confirm()

    @property
    def size(self) -> int:
        """What it weighs in a queue."""
        return len(self.parameters) + len(self.service) + 64
