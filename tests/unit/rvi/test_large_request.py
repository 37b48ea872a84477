"""The fast reader of large requests gives the same result as the ordinary one for any input."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.rvi.codec import pack
from sota.rvi.edge_requests import MessageRequest
from sota.rvi.large_request import KEY_BYTES, LARGE_BYTES, MAX_TEXTS, LargeRequestReader

decode = msgspec.json.Decoder(MessageRequest).decode
LARGE = "QUJD+/=" * (LARGE_BYTES // 7 + 1)
STAND_IN = "a large text was"
READER = LargeRequestReader(4 * len(LARGE))


def a_request(parameters: Any, *, ascii_only: bool = False, **more: Any) -> bytes:
    params = {"service_name": "genivi.org/vin/V/sota/chunk", "timeout": 1, "parameters": parameters}
    content = {"jsonrpc": "2.0", "method": "message", "params": params, **more}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def assert_same(content: bytes) -> bool:
    """Compare with the ordinary way; True if the quick one was taken."""
    read = READER.read(content, decode)
    if read is None:
        return False
    ordinary = decode(content)
    request, large = read
    assert b"".join(large.parameters) == bytes(ordinary.params.parameters)
    assert b"".join(large.packed) == pack(msgspec.json.decode(ordinary.params.parameters))
    assert (request.params.service_name, request.params.timeout) == ("genivi.org/vin/V/sota/chunk", 1)
    assert bytes(request.id) == bytes(ordinary.id)
    return True


@pytest.mark.parametrize(
    "parameters",
    [
        [{"vin": "V", "download_index": 3, "index": 7, "bytes": LARGE}],
        {"a": [1, None, {"b": LARGE}], "c": True},
        [{"bytes": LARGE, "last": "x"}],
        [LARGE],
        [{"bytes": "é😀" * LARGE_BYTES}],
        [{"first": LARGE, "second": LARGE}],
    ],
    ids=["block", "nested", "not last", "alone", "not ASCII", "two"],
)
def test_large_value_is_taken_out_and_put_back(parameters: Any) -> None:
    assert assert_same(a_request(parameters, id=7))


@pytest.mark.parametrize(
    "content",
    [
        a_request([{"bytes": LARGE[: LARGE_BYTES // 2]}]),
        a_request([{"bytes": LARGE + "\n"}]),
        a_request([{LARGE: 1}]),
        a_request([{"a": STAND_IN, "bytes": LARGE}]),
        a_request([{STAND_IN: 1, "bytes": LARGE}]),
        a_request([["x"] * MAX_TEXTS, LARGE, "x"]),
        a_request([1], id=LARGE),
        a_request([2**70, LARGE]),
        a_request([LARGE]).replace(b"QUJD", b"QU\nD"),
        a_request([LARGE, "x"]).replace(b"QUJD", b"QU\nD"),
        a_request([LARGE]).replace(b"QUJD", b"QU\x80D"),
        a_request([LARGE])[:-1],
        a_request([LARGE]).replace(b'"timeout":1', b'"timeout":x'),
        a_request([{"a": LARGE}]).replace(b"}]}}", b',"a":1}]}}'),
        b'"' * LARGE_BYTES,
        b"x" * LARGE_BYTES,
    ],
    ids=[
        "small", "an escape", "a name", "the stand-in", "the stand-in as a name", "many texts", "an id",
        "a number too large", "a line end", "a line end, not last", "no UTF-8", "cut off", "no JSON", "named twice",
        "quotes", "none",
    ],
)  # fmt: skip
def test_whatever_else_is_left_to_the_ordinary_way(content: bytes) -> None:
    assert READER.read(content, decode) is None


def test_same_text_is_kept_once() -> None:
    reader = LargeRequestReader(4 * len(LARGE))
    first, second = (reader.read(a_request([{"n": n, "bytes": LARGE}]), decode) for n in (1, 2))
    assert first is not None
    assert second is not None
    third = reader.read(a_request([{"n": 3, "bytes": LARGE}]), decode)
    assert third is not None
    assert second[1].packed[1].obj is third[1].packed[1].obj  # type: ignore[union-attr]
    assert b"".join(third[1].packed) == pack([{"n": 3, "bytes": LARGE}])


@pytest.mark.parametrize("change", ["\x00", "\x1f", "\x80", "é"])
def test_text_that_only_begins_as_one_before_is_checked(change: str) -> None:
    reader = LargeRequestReader(4 * len(LARGE))
    assert reader.read(a_request([LARGE]), decode) is not None
    for at in (KEY_BYTES, len(LARGE) // 2, len(LARGE) - 1):
        changed = a_request([LARGE[:at] + "~" + LARGE[at + 1 :]]).replace(b"~", change.encode("latin-1"))
        assert reader.read(changed, decode) is None
    longer = reader.read(a_request([LARGE + "A"]), decode)
    assert longer is not None
    assert b"".join(longer[1].packed) == pack([LARGE + "A"])


def test_what_is_kept_is_bounded() -> None:
    reader = LargeRequestReader(3 * len(LARGE))
    for number in range(20):
        assert reader.read(a_request([f"{number}{LARGE}"]), decode) is not None
    assert len(reader._kept) == 2
    assert reader._kept_bytes == sum(map(len, reader._kept.values()))
    assert LargeRequestReader(0).read(a_request([LARGE]), decode) is not None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(max_size=20)
    | st.just(LARGE)
    | st.just(STAND_IN),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.hypothesis
@given(parameters=st.lists(VALUES, max_size=4), escaped=st.booleans())
def test_any_request_is_read_as_in_the_ordinary_way(parameters: list[Any], *, escaped: bool) -> None:
    assert_same(a_request(parameters, ascii_only=escaped, id=1))


@pytest.mark.hypothesis
@given(at=st.integers(0, 400), byte=st.binary(min_size=0, max_size=3), whole=st.booleans())
def test_damage_is_found_as_in_the_ordinary_way(at: int, byte: bytes, *, whole: bool) -> None:
    content = a_request([{"vin": "V", "bytes": LARGE, "x": [1, "y"]}], id=1)
    at = at if whole else len(content) - at
    damaged = content[:at] + byte + content[at + 1 :]
    read = READER.read(damaged, decode)
    if read is not None:
        request, large = read
        ordinary = decode(damaged)
        assert b"".join(large.parameters) == bytes(ordinary.params.parameters)
        assert b"".join(large.packed) == pack(msgspec.json.decode(ordinary.params.parameters))
        request.params.parameters = ordinary.params.parameters
        assert request == ordinary
