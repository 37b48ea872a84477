"""A message on its way through the node, and its sender."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

Part = bytes | memoryview
"""Bytes that no longer change."""


# A message's time-out is by its sender's clock, which may be wrong: it counts only within these bounds.
MIN_KEEP_S, MAX_KEEP_S = 30.0, 86_400.0


class Peer(msgspec.Struct, frozen=True):
    """The other end of a link: the VIN that its credentials are for, and the credential that allowed the message."""

    vin: str | None
    credential: str


class Message:
    """One message to one service.

    ``parameters`` is the sender's JSON, not decoded. A large message may have them in several parts, which are joined
    only where one piece is needed. ``deadline`` is in unix seconds by this node's clock; it is kept as ``ends``, by the
    monotonic clock. ``timeout_ms`` is the sender's time-out (unix milliseconds), passed on to the next node. ``packed``
    keeps the parameters in msgpack, in parts, once they were needed so. ``number`` is the message's place on disk, if
    it is stored, and ``place`` the one it would have. ``confirm`` is called when the sending node may drop the message.
    ``size`` is what counts in a queue, in bytes. ``suspect``: it may have broken its connection.
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
        """The parameters in one part or several."""
        return (self._parameters,) if isinstance(self._parameters, bytes) else self._parameters

    def settle(self) -> None:
        """Confirm to the sending node that the message is done with, or on this node's disk."""
        confirm, self.confirm = self.confirm, None
        if confirm is not None:
            confirm()


def keep_until(timeout_ms: int, now: float) -> float:
    """Return the time, by this node's clock, up to which a peer's message with this time-out is kept."""
    return now + min(MAX_KEEP_S, max(MIN_KEEP_S, timeout_ms / 1000 - now))
