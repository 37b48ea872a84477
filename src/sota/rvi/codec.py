"""The two encodings of a data link: JSON, and msgpack of the old specification. Bytes to packets and back.

A link carries maps, one after another: ``au`` (a greeting), ``sa`` (services that come and go), ``rcv`` (a message),
``ping``, and ``frg``, ``frg-get``, ``frg-end`` (a message in pieces). Rules kept here:

* unknown members are ignored, and members of an unexpected type count as absent where a real node does so;
* parameters are not decoded: JSON passes through unchanged; only msgpack is converted to JSON;
* msgpack is written by the old specification, without str8 and bin, which a real node cannot read. It is read by
  either specification;
* any error is a :class:`~sota.rvi.splitter.CodecError`, which ends that connection and no other.

>>> Decoder(JSON).feed(b'{"cmd":"ping"}{"cmd":"sa","stat":"av","svcs":[]}')[1].stat
'av'
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import msgpack
import msgspec

from sota.rvi.message import Message, Part
from sota.rvi.splitter import CodecError, JsonSplitter, MsgpackSplitter, Splitter

GREETING_LIMIT = 256 << 10
"""Largest packet before the peer's greeting."""

Fields = dict[str, Any]  # values of any type that JSON has
"""A packet other than ``rcv``, before it is encoded."""

_BAD = (msgspec.MsgspecError, msgpack.UnpackException, ValueError, TypeError, RecursionError)
_WHITESPACE = b" \t\r\n"


class Packet(msgspec.Struct):
    """Any packet; which members are set depends on ``cmd``."""

    cmd: str | None = None
    ver: object = None
    creds: object = None
    stat: object = None
    svcs: object = None
    data: msgspec.Raw = msgspec.Raw()
    ack: object = None
    ids: object = None
    frg: msgspec.Raw = msgspec.Raw()
    frg_get: object = msgspec.field(default=None, name="frg-get")
    frg_end: object = msgspec.field(default=None, name="frg-end")


class RcvData(msgspec.Struct):
    """The ``data`` of ``rcv``."""

    service: str
    timeout: object = None
    parameters: msgspec.Raw = msgspec.Raw()


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
        """Return a splitter that finds the end of a packet."""
        return JsonSplitter()

    def return_splitter(self, splitter: Splitter) -> None:
        """Drop a splitter that is no longer needed: a new one costs little."""

    def decode(self, content: bytes) -> Packet | None:
        """Decode one packet; None for an array."""
        if content[:1] != b"{":
            return None
        try:
            return self._packets.decode(content)
        except _BAD as error:
            raise CodecError(f"not a packet: {error}") from None

    def decode_data(self, data: msgspec.Raw) -> RcvData | None:
        """Decode the ``data`` of ``rcv``; None if it is invalid."""
        try:
            return self._data.decode(data)
        except _BAD:
            return None

    def decode_fragment(self, fragment: msgspec.Raw) -> tuple[int, int, int, bytes]:
        """Decode a ``frg``: id, total size, offset from 1, bytes."""
        try:
            number, total, offset, text = self._fragments.decode(fragment)
            return number, total, offset, text.encode()
        except _BAD as error:
            raise CodecError(f"not a fragment: {error}") from None

    def parameters_json(self, parameters: msgspec.Raw) -> bytes:
        """Return parameters unchanged; if absent, what a real node delivers."""
        return bytes(parameters) or b'"undefined"'

    def encode_message(self, message: Message, transaction: int, *, ack: bool = False) -> Sequence[Part]:
        """Encode a ``rcv`` in parts; with ``ack`` the peer is asked to confirm the transaction."""
        return _json_message(message, message.parameter_parts, transaction if ack else None)

    def encode_for_pieces(self, message: Message, transaction: int, *, ack: bool = False) -> bytes:
        """Encode a ``rcv`` in ASCII, so that a cut never splits a character."""
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
    """msgpack, encoded by the old specification."""

    name = "msgpack"
    version = "1.0"

    def __init__(self) -> None:
        self._packets = msgspec.msgpack.Decoder(Packet)
        self._data = msgspec.msgpack.Decoder(RcvData)
        self._values = msgspec.msgpack.Decoder()
        self.encode = pack
        self._spare: list[Splitter] = []

    def splitter(self) -> Splitter:
        """Return a splitter that finds the end of a packet, new or used."""
        return self._spare.pop() if self._spare else MsgpackSplitter()

    def return_splitter(self, splitter: Splitter) -> None:
        """Keep a splitter that is between two packets: a new one takes as long as decoding a small message."""
        if not self._spare:
            self._spare.append(splitter)

    def decode(self, content: bytes) -> Packet | None:
        """Decode one packet; None for a value other than a map."""
        first = content[0]
        if not (0x80 <= first <= 0x8F or first in (0xDE, 0xDF)):
            return None
        try:
            return self._packets.decode(content)
        except _BAD:
            pass
        try:  # strings encoded as bin, names too: convert them, and decode again
            plain = _texts(msgpack.unpackb(content, raw=True, strict_map_key=False))
            return self._packets.decode(msgspec.msgpack.encode(plain))
        except _BAD as error:
            raise CodecError(f"not a packet: {error}") from None

    def decode_data(self, data: msgspec.Raw) -> RcvData | None:
        """Decode the ``data`` of ``rcv``; None if it is invalid."""
        try:
            return self._data.decode(data)
        except _BAD:
            pass
        try:
            return self._data.decode(msgspec.msgpack.encode(_texts(msgpack.unpackb(bytes(data), raw=True))))
        except _BAD:
            return None

    def decode_fragment(self, fragment: msgspec.Raw) -> tuple[int, int, int, bytes]:
        """Decode a ``frg``; its bytes may be cut anywhere, and so are not decoded as text."""
        try:
            number, total, offset, piece = msgpack.unpackb(bytes(fragment), raw=True)
            if not (all(type(value) is int for value in (number, total, offset)) and isinstance(piece, bytes)):
                raise TypeError("three numbers and bytes are needed")
        except _BAD as error:
            raise CodecError(f"not a fragment: {error}") from None
        return number, total, offset, piece

    def parameters_json(self, parameters: msgspec.Raw) -> bytes:
        """Convert parameters to JSON; if absent, return what a real node delivers."""
        raw = bytes(parameters)
        if not raw:
            return b'"undefined"'
        try:
            value = self._values.decode(raw)
            if b"\xc4" in raw or b"\xc5" in raw or b"\xc6" in raw:  # perhaps a bin, which msgspec writes as base64
                value = _texts(value)
            return msgspec.json.encode(value)
        except _BAD as error:
            raise CodecError(f"parameters cannot be decoded: {error}") from None

    def encode_message(self, message: Message, transaction: int, *, ack: bool = False) -> Sequence[Part]:
        """Encode a ``rcv`` in parts; with ``ack`` the peer is asked to confirm the transaction."""
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
        """Encode a ``rcv`` that may be cut anywhere."""
        return b"".join(self.encode_message(message, transaction, ack=ack))


_pack = msgpack.Packer(use_bin_type=False).pack


def pack(value: object) -> bytes:
    """Encode a value in msgpack of the old specification.

    Raises:
        ValueError, OverflowError, TypeError: it cannot be encoded (a number of more than 64 bits).
    """
    packed: bytes = _pack(value)
    return packed


@functools.lru_cache(maxsize=4096)
def _head_for(service: str) -> bytes:
    """Return the part of a ``rcv`` between the transaction and the time-out."""
    return b"\xa3cmd\xa3rcv\xa3mod\xb1proto_msgpack_rpc\xa4data\x83\xa7service%b\xa7timeout" % pack(service)


def _texts(value: object) -> object:
    """Decode all bytes in a value as UTF-8, where they are UTF-8."""
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


Codec = JsonCodec | MsgpackCodec
JSON, MSGPACK = JsonCodec(), MsgpackCodec()


def _guess(first: int) -> Codec | None:
    """Return the encoding that a packet's first byte shows; None if no packet begins so."""
    if first in b"{[":
        return JSON
    return MSGPACK if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF) else None


def codec_of(value: msgspec.Raw) -> Codec:
    """Return the encoding of an undecoded value: only msgpack begins above ASCII."""
    return MSGPACK if value and memoryview(value)[0] >= 0x80 else JSON


class Decoder:
    """Takes bytes as they arrive and returns the packets that are complete.

    Without ``codec`` each packet's first byte shows its encoding, as on the TCP link of a real node; the attribute is
    the encoding of the last packet that began. ``limit`` is the largest packet; it may be raised later.
    """

    __slots__ = ("_buffer", "_fixed", "_is_inside", "_splitter", "_start", "codec", "limit")

    def __init__(self, codec: Codec | None = None, limit: int = 4 << 20) -> None:
        self.limit = limit
        self._fixed = self.codec = codec
        self._splitter: Splitter | None = None
        self._buffer: bytes | bytearray = b""
        self._start = 0
        self._is_inside = False

    def feed(self, content: bytes) -> list[Packet]:
        """Take more bytes; return the packets that they complete.

        Raises:
            CodecError: the bytes are invalid; the connection must be closed.
        """
        if self._buffer:
            self._buffer += content
        else:
            self._buffer = content
        packets: list[Packet] = []
        while (end := self._find_end()) is not None:
            codec = self.codec
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
            if self._splitter is None or codec is not self.codec:
                self._splitter = codec.splitter()
            self.codec, self._is_inside = codec, True
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
        self._splitter = None  # it has not read these bytes
        return self._find_end()

    def _begin(self, first: int) -> Codec:
        codec = self._fixed or _guess(first)
        if codec is None or (codec is JSON and first not in b"{["):
            raise CodecError(f"byte 0x{first:02x} begins no packet")
        return codec

    def _keep_rest(self) -> None:
        if self._start == len(self._buffer):
            if self._splitter is not None and self.codec is not None and not self._is_inside:
                self.codec.return_splitter(self._splitter)
            self._buffer, self._splitter = b"", None  # an idle connection holds no memory
        elif self._start or not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer[self._start :])
        self._start = 0
