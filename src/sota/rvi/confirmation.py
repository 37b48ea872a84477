"""Confirmations on a link between two of our nodes: the sender keeps a message until it has arrived.

A link of rvi_core has none: a node that is killed loses the messages in its memory, though their senders were told that
they are queued. Two of our nodes agree in their greeting (``"ack": true``, which a real node ignores). Then

* each ``rcv`` carries a number (``"ack": 7``), and its sender keeps it, up to ``send_queue`` bytes for a peer;
* the receiver sends the number back (``{"cmd": "ack", "ids": [7]}``, batched for a moment) once the local service has
  answered, or the message is on its disk, refused or expired;
* what is not confirmed when the connection ends goes to the sender's disk, in its original order, and is sent again. So
  a message may arrive twice.

A real rvi_core confirms nothing. What went to it from the disk counts as arrived once the connection has stood for a
while (``queue_drainer.py``), or when the peer answers something that was sent later: it reads in order.

Blocks and their acknowledgements are not confirmed: Core repeats a block that is not acknowledged, and at their rate
they would fill the memory of both nodes (docs/decisions/0016).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sota.rvi.codec import Fields
from sota.rvi.message import Message
from sota.rvi.splitter import CodecError

UNCONFIRMED_SERVICES = ("/chunk", "/ack")
BATCH_S = 0.005


class Confirmations:
    """Both directions of one connection."""

    __slots__ = ("_arrived", "_bytes", "_kept", "_send", "_timer", "confirmed", "limit", "unconfirmed", "wanted")

    def __init__(self, limit: int, send: Callable[[Fields], None]) -> None:
        self._send = send
        self._kept: dict[int, Message] = {}
        self._bytes = 0
        self._arrived: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self.limit = limit
        self.wanted = False
        """Whether the peer confirms."""
        self.confirmed: list[int] = []
        """Numbers on disk of messages that have arrived."""
        self.unconfirmed: list[tuple[float, str, int]] = []
        """(sent at, service, number on disk) of messages to a peer that does not confirm."""

    @property
    def is_full(self) -> bool:
        """Whether too many bytes are unconfirmed to send more."""
        return self._bytes >= self.limit

    def concerns(self, service: str) -> bool:
        """Report whether a message to this service is confirmed."""
        return self.wanted and not service.endswith(UNCONFIRMED_SERVICES)

    def keep(self, number: int, message: Message) -> None:
        """Keep an outgoing message."""
        self._kept[number] = message
        self._bytes += message.size

    def settle(self, numbers: object) -> bool:
        """Handle the peer's confirmations; True if that makes room.

        Raises:
            CodecError: they are not a list.
        """
        if not isinstance(numbers, list):
            raise CodecError("a confirmation without a list of numbers")
        was_full = self.is_full
        for number in numbers:
            message = self._kept.pop(number, None) if isinstance(number, int) else None
            if message is not None:
                self._bytes -= message.size
                if message.number is not None:
                    self.confirmed.append(message.number)
        return was_full and not self.is_full

    def take_unconfirmed(self, unsent: Sequence[Message] = ()) -> Sequence[Message]:
        """Return, at the end of the connection, what may not have arrived and what was ``unsent``, each once."""
        kept, self._kept, self._bytes = list(self._kept.values()), {}, 0
        kept += [message for message in unsent if all(message is not other for other in kept)]
        if self._timer is not None:
            self._timer.cancel()
        return kept

    def confirm_sent_before(self, before: float) -> None:
        """Count messages sent before this time of the loop's clock as arrived."""
        self.confirmed += [number for sent_at, _, number in self.unconfirmed if sent_at < before]
        self.unconfirmed = [entry for entry in self.unconfirmed if entry[0] >= before]

    def arrived(self, number: int) -> None:
        """Confirm a message of the peer, with others in one batch."""
        self._arrived.append(number)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self.flush)

    def flush(self) -> None:
        """Send the batched confirmations."""
        numbers, self._arrived = self._arrived, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if numbers:
            self._send({"cmd": "ack", "ids": numbers})
