"""A message on its way through the node, and who sent it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

Part = bytes | memoryview
"""A stretch of bytes that nobody changes any more."""


# What a peer says of a message's time-out is by the peer's clock, which may be wrong: it counts only within these
# bounds.
MIN_KEEP_S, MAX_KEEP_S = 30.0, 86_400.0


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of a link: the VIN its credentials speak for, and the one that allowed the message."""

    vin: str | None
    credential: str


class Message:
    """One message to one service.

    ``parameters`` is JSON as it came from the sender, unread; a large message may be given in parts that together are
    its parameters, and is then copied only where somebody needs it in one piece. ``deadline`` is unix seconds by this
    node's own clock; it is kept as ``ends``, by the clock that nobody sets. ``timeout_ms`` is what the sender said
    (unix milliseconds), passed on to the next node. ``packed`` keeps the parameters in msgpack, in parts, once somebody
    needed them so. ``number`` is the message's place on disk, if it is stored, and ``place`` the one it would have.
    ``confirm`` is called when the sending node need not keep it any more. ``size`` is what it weighs in a queue, in
    bytes. ``suspect``: it may have broken its connection.
    """

    __slots__ = (
        "_parameters", "confirm", "ends", "number", "packed", "peer", "place", "service", "size", "suspect",
        "timeout_ms",
    )  # fmt: skip

    def __init__(
        self,
        service: str,
        parameters: bytes | Sequence[Part],
        timeout_ms: int,
        deadline: float,
        peer: Peer | None = None,
        *,
        packed: Sequence[Part] | None = None,
        number: int | None = None,
    ) -> None:
        self.service, self._parameters = service, parameters
        self.timeout_ms, self.ends, self.peer = timeout_ms, deadline - time.time() + time.monotonic(), peer
        self.packed, self.number = packed, number
        self.place: int | None = None
        self.confirm: Callable[[], None] | None = None
        self.suspect = False
        length = len(parameters) if isinstance(parameters, bytes) else sum(map(len, parameters))
        self.size = length + len(service) + 64

    @property
    def is_over(self) -> bool:
        """Whether the message's time is over."""
        return self.ends <= time.monotonic()

    @property
    def parameters(self) -> bytes:
        """The parameters in one piece."""
        if not isinstance(self._parameters, bytes):
            self._parameters = b"".join(self._parameters)
        return self._parameters

    @property
    def parameter_parts(self) -> Sequence[Part]:
        """The parameters as they are, in one part or several."""
        return (self._parameters,) if isinstance(self._parameters, bytes) else self._parameters

    def settle(self) -> None:
        """Tell the sending node that this one has done with the message, or keeps it on disk."""
        confirm, self.confirm = self.confirm, None
        if confirm is not None:
            confirm()


def keep_until(timeout_ms: int, now: float) -> float:
    """Give the moment, by this node's clock, up to which a peer's message with this time-out is kept."""
    return now + min(MAX_KEEP_S, max(MIN_KEEP_S, timeout_ms / 1000 - now))
