"""The two encodings of a link: what is decoded from any bytes, cut anywhere."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.rvi.codec import JSON, MSGPACK, Codec, Decoder, pack
from sota.rvi.message import Message
from sota.rvi.splitter import MAX_DEPTH, CodecError

NAME = "genivi.org/vin/WVW00000000000001/sota/notify"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)
PARAMETERS = st.lists(VALUES, max_size=3) | st.dictionaries(st.text(), VALUES, max_size=3)


def message(parameters: Any) -> Message:
    return Message(NAME, json.dumps(parameters).encode(), 1_795_437_985_000, 0.0)


def pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[low:high] for low, high in itertools.pairwise(at)]


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@given(parameters=PARAMETERS, cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_a_message_survives_the_way_however_it_is_cut(codec: Codec, parameters: Any, cuts: list[int]) -> None:
    sent = (
        codec.encode({"cmd": "ping"})
        + b"".join(codec.encode_message(message(parameters), 7))
        + codec.encode({"cmd": "ping"})
    )
    decoder = Decoder(codec)
    packets = [packet for piece in pieces(sent, cuts) for packet in decoder.feed(piece)]
    assert [packet.cmd for packet in packets] == ["ping", "rcv", "ping"]
    data = codec.decode_data(packets[1].data)
    assert data is not None
    assert (data.service, data.timeout) == (NAME, 1_795_437_985_000)
    assert json.loads(codec.parameters_json(data.parameters)) == parameters


@given(content=st.binary(max_size=400), cut=st.integers(0, 400))
def test_any_bytes_give_packets_or_one_error(content: bytes, cut: int) -> None:
    for codec in (None, JSON, MSGPACK):
        decoder = Decoder(codec, limit=1000)
        try:
            for piece in (content[:cut], content[cut:]):
                for packet in decoder.feed(piece):
                    spoken = decoder.codec or JSON
                    data = spoken.decode_data(packet.data) if packet.data else None
                    if data is not None:
                        spoken.parameters_json(data.parameters)
        except CodecError:
            pass


@given(value=PARAMETERS, where=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_gives_packets_or_one_error(value: Any, where: int, byte: int) -> None:
    for codec in (JSON, MSGPACK):
        content = bytearray(b"".join(codec.encode_message(message(value), 1)))
        content[where % len(content)] = byte
        decoder = Decoder(codec, limit=10_000)
        try:
            for packet in decoder.feed(bytes(content)):
                if (data := codec.decode_data(packet.data)) is not None:
                    codec.parameters_json(data.parameters)
        except CodecError:
            pass


@given(parameters=PARAMETERS)
def test_msgpack_is_written_without_str8_and_bin(parameters: Any) -> None:
    sent = b"".join(MSGPACK.encode_message(message(parameters), 1))
    assert msgpack.unpackb(sent, raw=False)["data"]["parameters"] == parameters
    assert pack("x" * 40)[0] == 0xDA
    assert pack(b"x" * 40)[0] == 0xDA


def test_what_a_real_node_writes_is_read() -> None:
    greeting = bytes.fromhex("83a3636d64a26175a3766572a3312e30a5637265647391da0003") + b"a.b"
    announcement = b"\x83\xa3cmd\xa2sa\xa4stat\xa2av\xa4svcs\x91\xb9genivi.org/backend/open/x"
    delivery = (
        b"\x84\xa3tid\x01\xa3cmd\xa3rcv\xa3mod\xb1proto_msgpack_rpc\xa4data\x83\xa7service\xb1genivi.org/peer/s"
        b"\xa7timeout\xcf\x00\x00\x01\xa2\x08\x83\x1c\xa0\xaaparameters\x81\xa1a\x01"
    )
    au, sa, rcv = Decoder(MSGPACK).feed(greeting + announcement + delivery)
    assert (au.cmd, au.ver, au.creds) == ("au", "1.0", ["a.b"])
    assert (sa.stat, sa.svcs) == ("av", ["genivi.org/backend/open/x"])
    data = MSGPACK.decode_data(rcv.data)
    assert data is not None
    assert data.timeout == 0x1A208831CA0
    assert MSGPACK.parameters_json(data.parameters) == b'{"a":1}'


@pytest.mark.parametrize("use_bin_type", [True, False])
def test_texts_written_as_bin_or_str8_are_read(*, use_bin_type: bool) -> None:
    data = {b"service": NAME.encode(), "timeout": 5, "parameters": [{b"text": b"x" * 50, "n": 0xC4C5}]}
    sent = msgpack.packb({b"cmd": b"rcv", "data": data}, use_bin_type=use_bin_type)
    (packet,) = Decoder(MSGPACK).feed(sent)
    content = MSGPACK.decode_data(packet.data)
    assert content is not None
    assert content.service == NAME
    assert json.loads(MSGPACK.parameters_json(content.parameters)) == [{"text": "x" * 50, "n": 0xC4C5}]


def test_without_parameters_a_message_says_what_a_real_node_delivers() -> None:
    for codec in (JSON, MSGPACK):
        (packet,) = Decoder(codec).feed(codec.encode({"cmd": "rcv", "data": {"service": NAME, "timeout": 1}}))
        data = codec.decode_data(packet.data)
        assert data is not None
        assert codec.parameters_json(data.parameters) == b'"undefined"'


def test_data_that_is_no_map_is_no_message() -> None:
    (packet,) = Decoder(JSON).feed(b'{"cmd":"rcv","data":"{}"}')
    assert JSON.decode_data(packet.data) is None


def test_a_tcp_link_tells_the_language_of_each_packet() -> None:
    packets = Decoder().feed(b' {"cmd":"ping"}\r\n' + pack({"cmd": "au", "creds": []}) + b'[1]{"cmd":"sa"}')
    assert [packet.cmd for packet in packets] == ["ping", "au", "sa"]


@pytest.mark.parametrize(
    "content", [b"hello", b"}", b"{]", b'{"cmd":}', b'{"cmd":7}', b"\xc1", b"\xd4\x01\x01", b"\x00"]
)
def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(CodecError):
        Decoder().feed(content + b"   ")


def test_a_packet_that_is_too_long_is_refused_before_it_is_complete() -> None:
    for codec, start in ((JSON, b'{"cmd":"'), (MSGPACK, b"\x81\xa3cmd\xdb\x00\xff\xff\xff")):
        decoder = Decoder(codec, limit=1000)
        decoder.feed(start + b"x" * 980)
        with pytest.raises(CodecError, match="more than 1000 bytes"):
            decoder.feed(b"x" * 100)


@pytest.mark.parametrize(
    "content", [b"\x81\xa3cmd\xdd\xff\xff\xff\xff", b"\x81\xa3cmd\xdf\x7f\xff\xff\xff", b"\x81\xdb\x7f\xff\xff\xff"]
)
def test_a_length_is_not_believed(content: bytes) -> None:
    tracemalloc.start()
    try:
        decoder = Decoder(MSGPACK, limit=1 << 30)
        assert decoder.feed(content) == []
        assert decoder.feed(b"\xc0" * 1000) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_nesting_has_an_end() -> None:
    with pytest.raises(CodecError):
        Decoder(JSON).feed(b"[" * (MAX_DEPTH + 1))
    with pytest.raises(CodecError):
        Decoder(MSGPACK).feed(b"\x81\xa3cmd" + b"\x91" * 50_000 + b"\xc0")


def test_brackets_in_texts_do_not_count() -> None:
    content = json.dumps({"cmd": 'a{"[\\', "x": '"}]\\"'}).encode()
    for cut in range(len(content)):
        decoder = Decoder(JSON)
        (packet,) = decoder.feed(content[:cut]) + decoder.feed(content[cut:])
        assert packet.cmd == 'a{"[\\'


def test_dripping_bytes_are_looked_at_once() -> None:
    decoder = Decoder(JSON, limit=1 << 20)
    decoder.feed(b'{"cmd":"')
    for _ in range(50_000):
        assert decoder.feed(b"}") == []


def test_a_number_without_a_form_in_msgpack_is_refused() -> None:
    with pytest.raises(OverflowError):
        pack([2**64])
