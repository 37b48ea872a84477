"""Alphabets and limits of the values that cross boundaries."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from sota.boundaries import values
from sota.boundaries.b2_web_core.messages import NewCampaign, QueueRequest
from sota.boundaries.b7_core_rvi.messages import Block, LocalChange, StartDownload
from sota.boundaries.interaction import Lines
from sota.boundaries.parameters import IdPath, VinPath
from sota.boundaries.table import TABLE
from tests.support.identities import IDENTITY, NAMED

ID = "0190c5a0-7b1c-7000-8000-000000000001"
GOOD = (
    (values.Vin, "WVW00000000000001"),
    (values.Vin, "IOQ00000000000001"),
    (values.PackageName, "lib.c++_x-1"),
    (values.PackageName, "a" * 100),
    (values.Version, "2.10.0"),
    (values.Version, "0.0.0"),
    (values.PartNumber, "TCU-7.1_a"),
    (values.FilterName, "my-filter.1"),
    (values.ForeignText, "1:2.3~rc1 ü"),
    (values.Priority, 1),
    (values.Priority, 100),
    (values.Blocks, ""),
    (values.Blocks, "1-10,12"),
    (values.Sha256, "0" * 64),
    (values.Id, ID),
)
BAD = (
    (values.Vin, "wvw00000000000001"),
    (values.Vin, "WVW0000000000001"),
    (values.Vin, "WVW00000000000001\n"),
    (values.Vin, "WVW0000000000000Ä"),
    (values.PackageName, ""),
    (values.PackageName, "a" * 101),
    (values.PackageName, "../etc"),
    (values.PackageName, "ivi\n"),
    (values.Version, "2.1"),
    (values.Version, "2.1.0-rc1"),
    (values.Version, "01.1.0"),
    (values.Version, "1.01.0"),
    (values.Version, "1.1.00"),
    (values.Version, "٢.1.0"),
    (values.PartNumber, "x"),
    (values.FilterName, "a b"),
    (values.ForeignText, "tab\there"),
    (values.ForeignText, "x" * 129),
    (values.Priority, 0),
    (values.Priority, 101),
    (values.Blocks, "1-"),
    (values.Blocks, "0"),
    (values.Blocks, "1,,2"),
    (values.Sha256, "A" * 64),
    (values.Id, "1"),
)


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_good_value_is_taken(kind: Any, value: object) -> None:
    assert msgspec.convert(value, kind) == value


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_bad_value_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)


def test_interval_must_end_after_it_starts() -> None:
    with pytest.raises(msgspec.ValidationError, match="before the end"):
        msgspec.convert({"start": "2026-01-02T00:00:00Z", "end": "2026-01-02T00:00:00Z"}, values.Interval)


def test_campaign_must_end_after_it_starts() -> None:
    body = {
        "package": {"name": "ivi", "version": "2.1.0"},
        "priority": 1,
        "start": "2026-01-02T00:00:00Z",
        "end": "2026-01-01T00:00:00Z",
    }
    with pytest.raises(msgspec.ValidationError, match="before the end"):
        msgspec.convert(body, NewCampaign)


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"start": "2026-01-01T00:00:00", "end": "2026-01-02T00:00:00"}, values.Interval)


def structs_in(kind: Any, found: dict[type, list[str]]) -> None:
    """Collect the structs of a body's type, each with the names of its moments."""
    match kind:
        case inspect.StructType() if kind.cls not in found:
            found[kind.cls] = [field.name for field in kind.fields if is_moment(field.type)]
            parts = [field.type for field in kind.fields]
        case inspect.ListType() | inspect.VarTupleType():
            parts = [kind.item_type]
        case inspect.DictType():
            parts = [kind.value_type]
        case inspect.UnionType():
            parts = list(kind.types)
        case inspect.Metadata():
            parts = [kind.type]
        case _:
            parts = []
    for part in parts:
        structs_in(part, found)


def is_moment(kind: Any) -> bool:
    if isinstance(kind, inspect.Metadata):
        return is_moment(kind.type)
    kinds = kind.types if isinstance(kind, inspect.UnionType) else [kind]
    return any(isinstance(one, inspect.DateTimeType) for one in kinds)


def test_every_request_with_moments_refuses_those_that_utc_does_not_have() -> None:
    found: dict[type, list[str]] = {}
    for row in TABLE.values():
        for body in row.request.values() if isinstance(row.request, dict) else [row.request]:
            kind = body.item if isinstance(body, Lines) else body
            if kind is not None:
                structs_in(inspect.type_info(kind), found)
    with_moments = [kind for kind, names in found.items() if names]
    assert {values.Interval, NewCampaign, LocalChange} <= set(with_moments)
    assert [kind for kind in with_moments if not issubclass(kind, values.Timed)] == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
        ("0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00Z"),
    ],
)
def test_moment_outside_the_years_of_utc_is_refused(start: str, end: str) -> None:
    for kind, more in (
        (values.Interval, {}),
        (NewCampaign, {"package": {"name": "ivi", "version": "2.1.0"}, "priority": 1}),
    ):
        with pytest.raises(msgspec.ValidationError, match="years 1 to 9999"):
            msgspec.convert({"start": start, "end": end, **more}, kind)


def test_first_and_last_moment_of_utc_are_taken() -> None:
    body = {"start": "0001-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z"}
    assert msgspec.to_builtins(msgspec.convert(body, values.Interval)) == body


def test_slip_in_a_request_is_refused() -> None:
    body = b'{"package":{"name":"ivi","version":"2.1.0"},"priorty":1}'
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(body, type=QueueRequest)


def test_member_that_a_newer_vehicle_adds_is_passed_over() -> None:
    body = {"download_index": 1, "identity": NAMED, "index": 1, "bytes": "aGFsbG8=", "colour": "red"}
    block = msgspec.json.decode(msgspec.json.encode(body), type=Block)
    assert block == Block(download_index=1, identity=IDENTITY, index=1, content=b"hallo")


@given(content=st.binary(max_size=200), index=st.integers(1, 1 << 31))
def test_block_survives_the_wire(content: bytes, index: int) -> None:
    block = Block(download_index=7, identity=IDENTITY, index=index, content=content)
    assert msgspec.json.decode(msgspec.json.encode(block), type=Block) == block


def test_block_over_the_limit_is_refused() -> None:
    block = Block(download_index=1, identity=IDENTITY, index=1, content=bytes((1 << 20) + 1))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(block), type=Block)


def test_signature_keeps_the_names_of_its_own_standard() -> None:
    envelope = values.SignatureEnvelope(
        payload="e30=", payload_type="application/json", signatures=[values.EnvelopeSignature(keyid="k", sig="s")]
    )
    assert set(msgspec.to_builtins(envelope)) == {"payload", "payloadType", "signatures"}


def test_start_without_its_hash_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.json.decode(b'{"download_index":1,"package":{"name":"ivi","version":"2.1.0"}}', type=StartDownload)


def test_path_values_are_checked() -> None:
    assert msgspec.convert({"id": ID}, IdPath).id == ID
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"vin": "short"}, VinPath)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "1"}, IdPath)
