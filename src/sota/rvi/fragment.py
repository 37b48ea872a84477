"""Messages in pieces: how a large message crosses a link without holding up the others.

The sender cuts the whole encoded ``rcv``; the receiver asks for each next piece (``frg-get``) and says when it has all
(``frg-end``). Offsets count from 1. Rules kept here:

* only what was asked for is sent, strictly in order: a real node breaks the connection on a hole;
* a real node cuts JSON anywhere, and writes U+FFFD for half a character: such an end is asked for once more, whole;
* later messages for the same service wait until the pieces have arrived, so that order is kept;
* both sides are bounded: open messages, their bytes, and the time that the other side may be silent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sota.rvi.message import Message
from sota.rvi.splitter import CodecError

MAX_OPEN = 4
SILENCE_S = 60.0
PIECE_BYTES = 64 << 10
MIN_PIECE_BYTES = 10
OVERHEAD_BYTES = 24
DAMAGED = "\ufffd".encode()
MAX_AGAIN = 1000
_OPTION = "rvi.max_msg_size"


def wanted_size(message: Message) -> int | None:
    """Give the size of a piece if the message's sender asks for pieces (``"rvi.max_msg_size"`` in its parameters)."""
    # The option is a member of an object; an array, as a block is in, need not be searched.
    if message.parameter_parts[0][:1] != b"{" or _OPTION.encode() not in message.parameters:
        return None
    parameters = msgspec.json.decode(message.parameters)
    size = parameters.get(_OPTION) if isinstance(parameters, dict) else None
    return max(MIN_PIECE_BYTES, size - OVERHEAD_BYTES) if type(size) is int and size > 0 else None


@dataclass(slots=True)
class Outgoing:
    """One message on its way out in pieces, and the messages for the same service that wait behind it."""

    number: int
    service: str
    body: bytes
    heard_at: float
    waiting: deque[Message] = field(default_factory=deque)


class FragmentWriter:
    """The sending side of one connection."""

    __slots__ = ("_by_number", "_by_service", "_next", "queued_bytes")

    def __init__(self) -> None:
        self._by_number: dict[int, Outgoing] = {}
        self._by_service: dict[str, Outgoing] = {}
        self._next = 1
        self.queued_bytes = 0

    def under_way(self, service: str) -> Outgoing | None:
        """Find the message for this service that is on its way."""
        return self._by_service.get(service)

    def hold(self, outgoing: Outgoing, message: Message) -> None:
        """Let a message wait until the one before it has arrived."""
        outgoing.waiting.append(message)
        self.queued_bytes += message.size

    def start(self, service: str, body: bytes, size: int, now: float) -> dict[str, Any]:
        """Begin with a message; gives its first piece."""
        outgoing = Outgoing(self._next, service, body, now)
        self._next += 1
        self._by_number[outgoing.number] = self._by_service[service] = outgoing
        self.queued_bytes += len(body)
        return {"frg": [outgoing.number, len(body), 1, body[:size]]}

    def piece(self, request: Any, now: float) -> dict[str, Any] | None:
        """Answer a ``frg-get``; None where there is nothing to send."""
        if (
            not isinstance(request, list)
            or len(request) != 3
            or type(request[0]) is not int
            or type(request[1]) is not int
        ):
            raise CodecError("not a request for a fragment")
        number, offset, size = request
        outgoing = self._by_number.get(number)
        if outgoing is None or not 1 <= offset <= len(outgoing.body):
            return None
        # A real node without a limit of its own sends [] for the size: it means all the rest.
        end = offset - 1 + size if type(size) is int and size > 0 else len(outgoing.body)
        outgoing.heard_at = now
        return {"frg": [number, len(outgoing.body), offset, outgoing.body[offset - 1 : end]]}

    def finish(self, notice: Any) -> deque[Message]:
        """Take a ``frg-end``; gives the messages that waited."""
        number = notice[0] if isinstance(notice, list) and notice else None
        outgoing = self._by_number.get(number) if isinstance(number, int) else None
        return self._forget(outgoing) if outgoing is not None else deque()

    def give_up(self, now: float) -> list[deque[Message]]:
        """Forget messages whose receiver has been silent; gives what waited behind each."""
        silent = [outgoing for outgoing in self._by_number.values() if now - outgoing.heard_at > SILENCE_S]
        return [self._forget(outgoing) for outgoing in silent]

    def _forget(self, outgoing: Outgoing) -> deque[Message]:
        del self._by_number[outgoing.number], self._by_service[outgoing.service]
        self.queued_bytes -= len(outgoing.body) + sum(message.size for message in outgoing.waiting)
        return outgoing.waiting


@dataclass(slots=True)
class Incoming:
    """One message on its way in."""

    total: int
    heard_at: float
    body: bytearray = field(default_factory=bytearray)
    again: int = 0


class FragmentReader:
    """The receiving side of one connection; ``limit`` bounds all open messages together."""

    __slots__ = ("_limit", "_open")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[int, Incoming] = {}

    def take(
        self, number: int, total: int, offset: int, piece: bytes, now: float
    ) -> tuple[dict[str, Any] | None, bytes | None]:
        """Take a piece; gives what to answer, and the whole message if this was the last piece.

        Raises:
            CodecError: a piece that was not asked for, or too much.
        """
        incoming = self._open.get(number)
        if incoming is None:
            if offset != 1:
                return None, None  # the rest of something forgotten
            incoming = self._begin(number, total, now)
        if total != incoming.total or offset != len(incoming.body) + 1 or not piece:
            raise CodecError("a fragment that was not asked for")
        incoming.heard_at = now
        if piece.endswith(DAMAGED) and offset - 1 + len(piece) != total and incoming.again < MAX_AGAIN:
            incoming.again += 1
            incoming.body += _whole(piece)
            return {"frg-get": [number, len(incoming.body) + 1, min(total - len(incoming.body), PIECE_BYTES)]}, None
        incoming.body += piece
        missing = total - len(incoming.body)
        if missing < 0:
            raise CodecError("a fragment longer than its message")
        if missing:
            return {"frg-get": [number, len(incoming.body) + 1, min(missing, PIECE_BYTES)]}, None
        del self._open[number]
        return {"frg-end": [number, 0]}, bytes(incoming.body)

    def give_up(self, now: float) -> None:
        """Forget messages whose sender has been silent."""
        for number in [number for number, incoming in self._open.items() if now - incoming.heard_at > SILENCE_S]:
            del self._open[number]

    def _begin(self, number: int, total: int, now: float) -> Incoming:
        reserved = sum(incoming.total for incoming in self._open.values())
        if len(self._open) >= MAX_OPEN or total < 1 or reserved + total > self._limit:
            raise CodecError("more fragments than this node takes")
        incoming = self._open[number] = Incoming(total, now)
        return incoming


def _whole(piece: bytes) -> bytes:
    """Leave out what stands for a character that was cut, at the end of a piece."""
    while piece.endswith(DAMAGED):
        piece = piece[: -len(DAMAGED)]
    return piece
