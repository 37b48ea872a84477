"""The two languages of a data link: JSON, and msgpack of the old specification. Bytes in, packets out, and back.

A link carries maps, one after another: ``au`` (who I am), ``sa`` (services that come and go), ``rcv`` (a message),
``ping``, and ``frg``, ``frg-get``, ``frg-end`` (a message in pieces). Rules kept here:

* unknown members are passed over, and members of another type than expected are seen as absent where a real node does
  so;
* parameters stay unread: JSON passes through as it came; only msgpack is turned into JSON;
* everything written in msgpack is of the old specification, without str8 and bin, which a real node cannot read;
  everything it writes is understood, of either specification;
* whatever is wrong is one :class:`~sota.rvi.splitter.CodecError`, which costs that connection and nothing else.

>>> Decoder(JSON).feed(b'{"cmd":"ping"}{"cmd":"sa","stat":"av","svcs":[]}')[1].stat
'av'
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, Protocol

import msgpack
import msgspec

from sota.rvi.message import Message, Part
from sota.rvi.splitter import CodecError, JsonSplitter, MsgpackSplitter, Splitter

__all__ = ["GREETING_LIMIT", "JSON", "MSGPACK", "Codec", "CodecError", "Decoder", "Packet", "RcvData", "language_of"]

GREETING_LIMIT = 256 << 10
"""Largest packet before the peer has presented itself."""

_BAD = (msgspec.MsgspecError, msgpack.UnpackException, ValueError, TypeError, RecursionError)
_WHITESPACE = b" \t\r\n"


class Packet(msgspec.Struct):
    """Whatever came in one piece; which members are set depends on ``cmd``."""

    cmd: str | None = None
    ver: Any = None
    creds: Any = None
    stat: Any = None
    svcs: Any = None
    data: msgspec.Raw = msgspec.Raw()
    ack: Any = None
    ids: Any = None
    frg: msgspec.Raw = msgspec.Raw()
    frg_get: Any = msgspec.field(default=None, name="frg-get")
    frg_end: Any = msgspec.field(default=None, name="frg-end")


class RcvData(msgspec.Struct):
    """The ``data`` of ``rcv``."""

    service: str
    timeout: Any = None
    parameters: msgspec.Raw = msgspec.Raw()


class Codec(Protocol):
    """One of the two languages."""

    name: str
    version: str

    def splitter(self) -> Splitter:
        """Make what finds the end of a packet."""
        ...

    def return_splitter(self, splitter: Splitter) -> None:
        """Take back one that is between two packets."""
        ...

    def decode(self, content: bytes) -> Packet | None:
        """Read one packet; None for a value that is no map."""
        ...

    def decode_data(self, data: msgspec.Raw) -> RcvData | None:
        """Read the ``data`` of ``rcv``; None if it is not the map that it must be."""
        ...

    def decode_fragment(self, fragment: msgspec.Raw) -> tuple[int, int, int, bytes]:
        """Read a ``frg``: id, total size, offset from 1, bytes."""
        ...

    def parameters_json(self, parameters: msgspec.Raw) -> bytes:
        """Give parameters in JSON."""
        ...

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Write any packet but ``rcv``."""
        ...

    def encode_message(self, message: Message, transaction: int, *, ack: bool = False) -> Sequence[Part]:
        """Write a ``rcv``, in parts; with ``ack`` its transaction is to be confirmed."""
        ...

    def encode_for_pieces(self, message: Message, transaction: int, *, ack: bool = False) -> bytes:
        """Write a ``rcv`` that can be cut anywhere."""
        ...


class JsonCodec:
    """Compact JSON, UTF-8 unescaped."""

    name = "json"
    version = "1.1"

    def __init__(self) -> None:
        self._packets = msgspec.json.Decoder(Packet)
        self._data = msgspec.json.Decoder(RcvData)
        self._fragments = msgspec.json.Decoder(tuple[int, int, int, str])
        self.encode = msgspec.json.Encoder().encode

    def splitter(self) -> Splitter:
        """Make what finds the end of a packet."""
        return JsonSplitter()

    def return_splitter(self, splitter: Splitter) -> None:
        """Forget it: it is made quickly."""

    def decode(self, content: bytes) -> Packet | None:
        """Read one packet; None for an array."""
        if content[:1] != b"{":
            return None
        try:
            return self._packets.decode(content)
        except _BAD as error:
            raise CodecError(f"not a packet: {error}") from None

    def decode_data(self, data: msgspec.Raw) -> RcvData | None:
        """Read the ``data`` of ``rcv``; None if it is not the map that it must be."""
        try:
            return self._data.decode(data)
        except _BAD:
            return None

    def decode_fragment(self, fragment: msgspec.Raw) -> tuple[int, int, int, bytes]:
        """Read a ``frg``."""
        try:
            number, total, offset, text = self._fragments.decode(fragment)
            return number, total, offset, text.encode()
        except _BAD as error:
            raise CodecError(f"not a fragment: {error}") from None

    def parameters_json(self, parameters: msgspec.Raw) -> bytes:
        """Give parameters as they came; where there are none, what a real node delivers."""
        return bytes(parameters) or b'"undefined"'

    def encode_message(self, message: Message, transaction: int, *, ack: bool = False) -> Sequence[Part]:
        """Write a ``rcv``, in parts."""
        return _json_message(message, message.parameter_parts, transaction if ack else None)

    def encode_for_pieces(self, message: Message, transaction: int, *, ack: bool = False) -> bytes:
        """Write a ``rcv`` in ASCII, so that no character is cut."""
        parameters = json.dumps(msgspec.json.decode(message.parameters), separators=(",", ":")).encode()
        return b"".join(_json_message(message, (parameters,), transaction if ack else None))


def _json_message(message: Message, parameters: Sequence[Part], ack: int | None) -> Sequence[Part]:
    # The transaction is always 1 on a JSON link.
    return (
        b'{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":',
        msgspec.json.encode(message.service),
        b',"timeout":%d,"parameters":' % message.timeout_ms,
        *parameters,
        b'},"ack":%d}' % ack if ack is not None else b"}}",
    )


class MsgpackCodec:
    """msgpack, written by the old specification."""

    name = "msgpack"
    version = "1.0"

    def __init__(self) -> None:
        self._packets = msgspec.msgpack.Decoder(Packet)
        self._data = msgspec.msgpack.Decoder(RcvData)
        self._values = msgspec.msgpack.Decoder()
        self._spare: list[Splitter] = []

    def splitter(self) -> Splitter:
        """Make what finds the end of a packet, or take the one that nobody needs."""
        return self._spare.pop() if self._spare else MsgpackSplitter()

    def return_splitter(self, splitter: Splitter) -> None:
        """Keep a splitter that is between two packets: making one takes as long as reading a small message."""
        if not self._spare:
            self._spare.append(splitter)

    def decode(self, content: bytes) -> Packet | None:
        """Read one packet; None for a value that is no map."""
        first = content[0]
        if not (0x80 <= first <= 0x8F or first in (0xDE, 0xDF)):
            return None
        try:
            return self._packets.decode(content)
        except _BAD:
            pass
        try:  # texts written as bin, names too: turn them into texts, and read again
            plain = _texts(msgpack.unpackb(content, raw=True, strict_map_key=False))
            return self._packets.decode(msgspec.msgpack.encode(plain))
        except _BAD as error:
            raise CodecError(f"not a packet: {error}") from None

    def decode_data(self, data: msgspec.Raw) -> RcvData | None:
        """Read the ``data`` of ``rcv``; None if it is not the map that it must be."""
        try:
            return self._data.decode(data)
        except _BAD:
            pass
        try:
            return self._data.decode(msgspec.msgpack.encode(_texts(msgpack.unpackb(bytes(data), raw=True))))
        except _BAD:
            return None

    def decode_fragment(self, fragment: msgspec.Raw) -> tuple[int, int, int, bytes]:
        """Read a ``frg``, whose bytes may be cut anywhere and so are no text."""
        try:
            number, total, offset, piece = msgpack.unpackb(bytes(fragment), raw=True)
            if not (all(type(value) is int for value in (number, total, offset)) and isinstance(piece, bytes)):
                raise TypeError("three numbers and bytes are needed")
        except _BAD as error:
            raise CodecError(f"not a fragment: {error}") from None
        return number, total, offset, piece

    def parameters_json(self, parameters: msgspec.Raw) -> bytes:
        """Turn parameters into JSON; where there are none, what a real node delivers."""
        raw = bytes(parameters)
        if not raw:
            return b'"undefined"'
        try:
            value = self._values.decode(raw)
            if b"\xc4" in raw or b"\xc5" in raw or b"\xc6" in raw:  # perhaps a bin, which msgspec writes as base64
                value = _texts(value)
            return msgspec.json.encode(value)
        except _BAD as error:
            raise CodecError(f"parameters are not to be read: {error}") from None

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Write any packet but ``rcv``."""
        return pack(fields)

    def encode_message(self, message: Message, transaction: int, *, ack: bool = False) -> Sequence[Part]:
        """Write a ``rcv``, in parts."""
        if message.packed is None:
            message.packed = (pack(msgspec.json.decode(message.parameters)),)
        number = pack(transaction)
        return (
            b"\x85\xa3tid" if ack else b"\x84\xa3tid",
            number,
            _head_for(message.service),
            pack(message.timeout_ms),
            b"\xaaparameters",
            *message.packed,
            b"\xa3ack" + number if ack else b"",
        )

    def encode_for_pieces(self, message: Message, transaction: int, *, ack: bool = False) -> bytes:
        """Write a ``rcv`` in one piece: what is cut of it are bytes."""
        return b"".join(self.encode_message(message, transaction, ack=ack))


_pack = msgpack.Packer(use_bin_type=False).pack


def pack(value: Any) -> bytes:
    """Write a value in msgpack of the old specification.

    Raises:
        ValueError, OverflowError, TypeError: it has no form there (a number of more than 64 bits).
    """
    packed: bytes = _pack(value)
    return packed


@functools.lru_cache(maxsize=4096)
def _head_for(service: str) -> bytes:
    """What stands in a ``rcv`` between the transaction and the time-out."""
    return b"\xa3cmd\xa3rcv\xa3mod\xb1proto_msgpack_rpc\xa4data\x83\xa7service%b\xa7timeout" % pack(service)


def _texts(value: Any) -> Any:
    """Turn bytes into text throughout; bytes that are no UTF-8 stay as they are."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list | tuple):
        return [_texts(element) for element in value]
    if isinstance(value, dict):
        return {_texts(key): _texts(element) for key, element in value.items()}
    return value


JSON: Codec = JsonCodec()
MSGPACK: Codec = MsgpackCodec()


def _guess(first: int) -> Codec | None:
    """Tell the language by the first byte of a packet, None if it begins no packet."""
    if first in b"{[":
        return JSON
    return MSGPACK if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF) else None


def language_of(value: msgspec.Raw) -> Codec:
    """Tell the language of what was left unread in a packet: only that of msgpack begins above ASCII."""
    return MSGPACK if value and memoryview(value)[0] >= 0x80 else JSON


class Decoder:
    """Takes bytes as they come and gives the packets that are complete.

    With no ``codec`` each packet's first byte tells which language it is in, as on the TCP link of a real node.
    ``limit`` is the largest packet; it may be raised later.
    """

    __slots__ = ("_buffer", "_codec", "_fixed", "_is_inside", "_splitter", "_start", "limit")

    def __init__(self, codec: Codec | None = None, limit: int = 4 << 20) -> None:
        self.limit = limit
        self._fixed = self._codec = codec
        self._splitter: Splitter | None = None
        self._buffer: bytes | bytearray = b""
        self._start = 0
        self._is_inside = False

    @property
    def codec(self) -> Codec | None:
        """The language of the last packet that began."""
        return self._codec

    def feed(self, content: bytes) -> list[Packet]:
        """Take more bytes; give the packets that they complete.

        Raises:
            CodecError: the peer does not speak this language; the link is to be closed.
        """
        if self._buffer:
            self._buffer += content
        else:
            self._buffer = content
        packets: list[Packet] = []
        while (end := self._find_end()) is not None:
            codec = self._codec
            if codec is not None and (packet := codec.decode(bytes(self._buffer[self._start : end]))) is not None:
                packets.append(packet)
            self._start = end
        if len(self._buffer) - self._start > self.limit:
            raise CodecError(f"a packet of more than {self.limit} bytes")
        self._keep_rest()
        return packets

    def _find_end(self) -> int | None:
        buffer = self._buffer
        if not self._is_inside:
            if self._start == len(buffer):
                return None
            if self._fixed is not MSGPACK and buffer[self._start] in _WHITESPACE:
                return self._after_whitespace()
            codec = self._begin(buffer[self._start])
            if self._splitter is None or codec is not self._codec:
                self._splitter = codec.splitter()
            self._codec, self._is_inside = codec, True
        end = self._splitter.find_end(buffer, self._start) if self._splitter is not None else None
        if end is not None:
            self._is_inside = False
            if end - self._start > self.limit:
                raise CodecError(f"a packet of more than {self.limit} bytes")
        return end

    def _after_whitespace(self) -> int | None:
        buffer = self._buffer
        while self._start < len(buffer) and buffer[self._start] in _WHITESPACE:
            self._start += 1
        self._splitter = None  # it has not seen these bytes
        return self._find_end()

    def _begin(self, first: int) -> Codec:
        codec = self._fixed or _guess(first)
        if codec is None or (codec is JSON and first not in b"{["):
            raise CodecError(f"byte 0x{first:02x} begins no packet")
        return codec

    def _keep_rest(self) -> None:
        if self._start == len(self._buffer):
            if self._splitter is not None and self._codec is not None and not self._is_inside:
                self._codec.return_splitter(self._splitter)
            self._buffer, self._splitter = b"", None  # a silent connection costs no memory
        elif self._start or not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer[self._start :])
        self._start = 0
