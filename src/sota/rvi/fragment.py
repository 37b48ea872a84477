"""Messages in pieces: how a large message crosses a link without holding up the others.

The sender cuts the whole encoded ``rcv``; the receiver asks for each next piece (``frg-get``) and says when it has all
(``frg-end``). Offsets count from 1. Rules kept here:

* only what was asked for is sent, strictly in order: a real node breaks the connection on a hole;
* a piece fits into one TLS record (:func:`most_bytes`): a real node breaks the connection when it reads the last piece
  from several records. A message under way when a connection breaks soon after its piece is marked as suspect: it may
  be what broke it, and the node does not send it again without end;
* a real node cuts JSON anywhere, and writes U+FFFD for half a character: such an end is asked for once more, whole;
* later messages for the same service wait until the pieces have arrived, so that order is kept;
* both sides are bounded: open messages, their bytes, and the time that the other side may be silent;
* a real node begins with all its messages at once, and keeps each until it is asked for: those that there is no room
  for wait there, and are asked for in their order; one that would never fit is declined.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sota.rvi.message import Message
from sota.rvi.splitter import CodecError

MAX_OPEN = 4
MAX_WAITING = 1000
TOO_LARGE = 1
SILENCE_S = 60.0
PIECE_BYTES = 64 << 10
MAX_PIECE_BYTES = 12_000
SUSPECT_S = 5.0
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


def most_bytes(*, quoted: bool) -> int:
    """Return the largest piece to send, in bytes. In JSON each byte of it may need a backslash."""
    return MAX_PIECE_BYTES // 2 if quoted else MAX_PIECE_BYTES


@dataclass(slots=True)
class Outgoing:
    """One message on its way out in pieces, and the messages for the same service that wait behind it."""

    number: int
    message: Message
    body: bytes
    heard_at: float
    waiting: deque[Message] = field(default_factory=deque)


class FragmentWriter:
    """The sending side of one connection."""

    __slots__ = ("_by_number", "_by_service", "_limit", "_next", "queued_bytes")

    def __init__(self, limit: int = MAX_PIECE_BYTES) -> None:
        """Prepare; ``limit`` is the largest piece, in bytes."""
        self._limit = limit
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

    def start(self, message: Message, body: bytes, size: int, now: float) -> dict[str, Any]:
        """Begin with a message, whose encoded form is ``body``; gives its first piece."""
        outgoing = Outgoing(self._next, message, body, now)
        self._next += 1
        self._by_number[outgoing.number] = self._by_service[message.service] = outgoing
        self.queued_bytes += len(body)
        return {"frg": [outgoing.number, len(body), 1, body[: min(size, self._limit)]]}

    def piece(self, request: Any, now: float) -> list[dict[str, Any]]:
        """Answer a ``frg-get``; there may be nothing to send."""
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
            return []
        # A real node without a limit of its own sends [] for the size: it takes any, and asks again.
        length = min(size, self._limit) if type(size) is int and size > 0 else self._limit
        end = offset - 1 + length
        outgoing.heard_at = now
        return [{"frg": [number, len(outgoing.body), offset, outgoing.body[offset - 1 : end]]}]

    def finish(self, notice: Any) -> deque[Message]:
        """Take a ``frg-end``; gives the messages that waited."""
        number = notice[0] if isinstance(notice, list) and notice else None
        outgoing = self._by_number.get(number) if isinstance(number, int) else None
        return self._forget(outgoing) if outgoing is not None else deque()

    def give_up(self, now: float) -> list[deque[Message]]:
        """Forget messages whose receiver has been silent; gives what waited behind each."""
        silent = [outgoing for outgoing in self._by_number.values() if now - outgoing.heard_at > SILENCE_S]
        return [self._forget(outgoing) for outgoing in silent]

    def last_sent_at(self, request: Any) -> float | None:
        """Return when the piece was sent that the peer must have read to make this request, None if there is none."""
        number = request[0] if isinstance(request, list) and request else None
        outgoing = self._by_number.get(number) if isinstance(number, int) else None
        return outgoing.heard_at if outgoing is not None else None

    def take_unsent(self, now: float) -> list[Message]:
        """Return, at the end of the connection, what has not arrived, and what waited behind it, in its order."""
        for outgoing in self._by_number.values():
            outgoing.message.suspect = now - outgoing.heard_at <= SUSPECT_S
        left = [message for outgoing in self._by_number.values() for message in (outgoing.message, *outgoing.waiting)]
        self._by_number.clear()
        self._by_service.clear()
        self.queued_bytes = 0
        return left

    def _forget(self, outgoing: Outgoing) -> deque[Message]:
        del self._by_number[outgoing.number], self._by_service[outgoing.message.service]
        self.queued_bytes -= len(outgoing.body) + sum(message.size for message in outgoing.waiting)
        return outgoing.waiting


@dataclass(slots=True)
class Incoming:
    """One message on its way in."""

    total: int
    heard_at: float
    body: bytearray = field(default_factory=bytearray)
    again: int = 0

    def add(self, piece: bytes, now: float) -> None:
        """Keep the next piece, up to a character at its end that was cut.

        Raises:
            CodecError: it goes beyond the message.
        """
        self.heard_at = now
        is_last = len(self.body) + len(piece) == self.total
        if piece.endswith(DAMAGED) and not is_last and self.again < MAX_AGAIN:
            self.again += 1
            piece = _whole(piece)
        self.body += piece
        if len(self.body) > self.total:
            raise CodecError("a fragment longer than its message")

    def request(self, number: int) -> dict[str, Any]:
        """Ask for the next piece."""
        missing = self.total - len(self.body)
        return {"frg-get": [number, len(self.body) + 1, min(missing, PIECE_BYTES)]}


class FragmentReader:
    """The receiving side of one connection; ``limit`` bounds all open messages together."""

    __slots__ = ("_limit", "_open", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[int, Incoming] = {}
        self._waiting: dict[int, int] = {}
        """Totals of messages that have begun and are not asked for yet; nothing of them is kept."""

    def take(
        self, number: int, total: int, offset: int, piece: bytes, now: float
    ) -> tuple[list[dict[str, Any]], bytes | None]:
        """Take a piece; gives what to answer, and the whole message if this was the last piece.

        Raises:
            CodecError: a piece that was not asked for, or too much.
        """
        incoming = self._open.get(number)
        if incoming is None:
            if offset != 1 or number in self._waiting:
                return [], None  # the rest of something forgotten, or the beginning of what is not asked for yet
            if total > self._limit:
                return [{"frg-end": [number, TOO_LARGE]}], None
            if (incoming := self._begin(number, total, now)) is None:
                return [], None
        if total != incoming.total or offset != len(incoming.body) + 1 or not piece:
            raise CodecError("a fragment that was not asked for")
        incoming.add(piece, now)
        if len(incoming.body) < total:
            return [incoming.request(number)], None
        del self._open[number]
        return [{"frg-end": [number, 0]}, *self._ask_waiting(now)], bytes(incoming.body)

    def give_up(self, now: float) -> list[dict[str, Any]]:
        """Forget messages whose sender has been silent; gives requests for those that there is room for now."""
        for number in [number for number, incoming in self._open.items() if now - incoming.heard_at > SILENCE_S]:
            del self._open[number]
        return self._ask_waiting(now)

    def _begin(self, number: int, total: int, now: float) -> Incoming | None:
        if total < 1:
            raise CodecError("a message of no bytes")
        if not self._waiting and self._has_room(total):
            incoming = self._open[number] = Incoming(total, now)
            return incoming
        if len(self._waiting) >= MAX_WAITING:
            raise CodecError("more fragments than this node takes")
        self._waiting[number] = total
        return None

    def _has_room(self, total: int) -> bool:
        reserved = sum(incoming.total for incoming in self._open.values())
        return len(self._open) < MAX_OPEN and reserved + total <= self._limit

    def _ask_waiting(self, now: float) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = []
        for number, total in list(self._waiting.items()):
            if not self._has_room(total):
                break
            del self._waiting[number]
            incoming = self._open[number] = Incoming(total, now)
            requests.append(incoming.request(number))
        return requests


def is_refusal(answers: list[dict[str, Any]]) -> bool:
    """Say whether this declines a message."""
    return any(answer.get("frg-end", (0, 0))[1] != 0 for answer in answers)


def _whole(piece: bytes) -> bytes:
    """Leave out what stands for a character that was cut, at the end of a piece."""
    while piece.endswith(DAMAGED):
        piece = piece[: -len(DAMAGED)]
    return piece
