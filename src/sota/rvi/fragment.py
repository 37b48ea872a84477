"""Messages in pieces: a large message crosses a link without delaying the others.

The sender cuts the whole encoded ``rcv``. The receiver requests each next piece (``frg-get``) and reports when it
has them all (``frg-end``). Offsets count from 1. Rules kept here:

* only requested pieces are sent, strictly in order: a real node closes the connection on a gap;
* a piece fits into one TLS record (:func:`max_piece_bytes`): a real node closes the connection when it reads the last
  piece from several records. A message whose piece was sent shortly before the connection broke is marked as suspect:
  it may have caused that, and the node does not send it again indefinitely;
* a real node cuts JSON anywhere, and writes U+FFFD for half a character: such an end is requested again, whole;
* later messages for the same service wait until the pieces have arrived, so that order is kept;
* both sides are bounded: open messages, their bytes, and the time that the other side may be silent;
* a real node starts all its messages at once, and keeps each until it is requested. Those without room here wait there
  and are requested in order; one that would never fit is declined.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from sota.rvi.codec import Fields
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
    """Return the size of a piece if the sender wants pieces (``"rvi.max_msg_size"`` in the parameters)."""
    # The option is a member of an object; a block's parameters are an array, and need not be searched.
    if message.parameter_parts[0][:1] != b"{" or _OPTION.encode() not in message.parameters:
        return None
    parameters = msgspec.json.decode(message.parameters)
    size = parameters.get(_OPTION) if isinstance(parameters, dict) else None
    return max(MIN_PIECE_BYTES, size - OVERHEAD_BYTES) if type(size) is int and size > 0 else None


def max_piece_bytes(*, quoted: bool) -> int:
    """Return the largest piece to send, in bytes. In JSON each byte may need a backslash."""
    return MAX_PIECE_BYTES // 2 if quoted else MAX_PIECE_BYTES


@dataclass(slots=True)
class Outgoing:
    """One message that is sent in pieces, and the later messages for the same service."""

    number: int
    message: Message
    body: bytes
    heard_at: float
    waiting: deque[Message] = field(default_factory=deque)


class FragmentWriter:
    """The sending side of one connection."""

    __slots__ = ("_by_number", "_by_service", "_limit", "_next", "queued_bytes")

    def __init__(self, limit: int = MAX_PIECE_BYTES) -> None:
        """Create a writer; ``limit`` is the largest piece, in bytes."""
        self._limit = limit
        self._by_number: dict[int, Outgoing] = {}
        self._by_service: dict[str, Outgoing] = {}
        self._next = 1
        self.queued_bytes = 0

    def under_way(self, service: str) -> Outgoing | None:
        """Return the message for this service that is being sent."""
        return self._by_service.get(service)

    def hold(self, outgoing: Outgoing, message: Message) -> None:
        """Hold a message until the one before it has arrived."""
        outgoing.waiting.append(message)
        self.queued_bytes += message.size

    def start(self, message: Message, body: bytes, size: int, now: float) -> Fields:
        """Start a message, whose encoded form is ``body``; returns its first piece."""
        outgoing = Outgoing(self._next, message, body, now)
        self._next += 1
        self._by_number[outgoing.number] = self._by_service[message.service] = outgoing
        self.queued_bytes += len(body)
        return {"frg": [outgoing.number, len(body), 1, body[: min(size, self._limit)]]}

    def piece(self, request: object, now: float) -> list[Fields]:
        """Return the answer to a ``frg-get``, which may be nothing."""
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
        # A real node without a limit sends [] for the size: it takes any, and asks again.
        length = min(size, self._limit) if type(size) is int and size > 0 else self._limit
        end = offset - 1 + length
        outgoing.heard_at = now
        return [{"frg": [number, len(outgoing.body), offset, outgoing.body[offset - 1 : end]]}]

    def finish(self, notice: object) -> deque[Message]:
        """Handle a ``frg-end``; returns the messages that waited."""
        number = notice[0] if isinstance(notice, list) and notice else None
        outgoing = self._by_number.get(number) if isinstance(number, int) else None
        return self._forget(outgoing) if outgoing is not None else deque()

    def give_up(self, now: float) -> list[deque[Message]]:
        """Drop messages whose receiver has been silent; returns what waited behind each."""
        silent = [outgoing for outgoing in self._by_number.values() if now - outgoing.heard_at > SILENCE_S]
        return [self._forget(outgoing) for outgoing in silent]

    def last_sent_at(self, request: object) -> float | None:
        """Return when the piece was sent that the peer must have read before this request; None if unknown."""
        number = request[0] if isinstance(request, list) and request else None
        outgoing = self._by_number.get(number) if isinstance(number, int) else None
        return outgoing.heard_at if outgoing is not None else None

    def take_unsent(self, now: float) -> list[Message]:
        """Return, at the end of the connection, what has not arrived and what waited behind it, in order."""
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
    """One message that is being received."""

    total: int
    heard_at: float
    body: bytearray = field(default_factory=bytearray)
    again: int = 0

    def add(self, piece: bytes, now: float) -> None:
        """Store the next piece, without a character that was cut at its end.

        Raises:
            CodecError: the piece is longer than the message.
        """
        self.heard_at = now
        is_last = len(self.body) + len(piece) == self.total
        if piece.endswith(DAMAGED) and not is_last and self.again < MAX_AGAIN:
            self.again += 1
            piece = _whole(piece)
        self.body += piece
        if len(self.body) > self.total:
            raise CodecError("a fragment longer than its message")

    def request(self, number: int) -> Fields:
        """Return the request for the next piece."""
        missing = self.total - len(self.body)
        return {"frg-get": [number, len(self.body) + 1, min(missing, PIECE_BYTES)]}


class FragmentReader:
    """The receiving side of one connection; ``limit`` bounds all open messages together."""

    __slots__ = ("_limit", "_open", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[int, Incoming] = {}
        self._waiting: dict[int, int] = {}
        """Sizes of messages that were started and are not requested yet; none of their bytes are stored."""

    def take(self, number: int, total: int, offset: int, piece: bytes, now: float) -> tuple[list[Fields], bytes | None]:
        """Take a piece; returns the answers to send, and the whole message if this was the last piece.

        Raises:
            CodecError: the piece was not requested, or is too long.
        """
        incoming = self._open.get(number)
        if incoming is None:
            if offset != 1 or number in self._waiting:
                return [], None  # the rest of a dropped message, or the start of one not requested yet
            if total > self._limit:
                return [{"frg-end": [number, TOO_LARGE]}], None
            if (incoming := self._begin(number, total, now)) is None:
                return [], None
        if total != incoming.total or offset != len(incoming.body) + 1 or not piece:
            raise CodecError("a fragment that was not requested")
        incoming.add(piece, now)
        if len(incoming.body) < total:
            return [incoming.request(number)], None
        del self._open[number]
        return [{"frg-end": [number, 0]}, *self._ask_waiting(now)], bytes(incoming.body)

    def give_up(self, now: float) -> list[Fields]:
        """Drop messages whose sender has been silent; returns requests for those that have room now."""
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

    def _ask_waiting(self, now: float) -> list[Fields]:
        requests: list[Fields] = []
        for number, total in list(self._waiting.items()):
            if not self._has_room(total):
                break
            del self._waiting[number]
            incoming = self._open[number] = Incoming(total, now)
            requests.append(incoming.request(number))
        return requests


def is_refusal(answers: list[Fields]) -> bool:
    """Report whether these answers decline a message."""
    return any(answer.get("frg-end", (0, 0))[1] != 0 for answer in answers)


def _whole(piece: bytes) -> bytes:
    """Remove the marks of a character that was cut at the end of a piece."""
    while piece.endswith(DAMAGED):
        piece = piece[: -len(DAMAGED)]
    return piece
