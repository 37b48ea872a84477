"""Every body that a row declares is a type that can be read, written and described."""

from __future__ import annotations

import msgspec
import pytest

from sota.boundaries.describe import describe, messages_of
from sota.boundaries.interaction import Http, Interaction, Lines, Rpc, Service
from sota.boundaries.services import (
    BACKEND_SERVICES,
    VEHICLE_SERVICES,
    backend_service,
    local_name,
    short_name,
    vehicle_service,
    vin_of,
)
from sota.boundaries.table import TABLE

VIN = "WVW00000000000001"
ROWS = tuple(TABLE.values())


def bodies(row: Interaction) -> list[object]:
    requests = list(row.request.values()) if isinstance(row.request, dict) else [row.request]
    kinds = [kind for kind in (*requests, row.response) if kind is not None]
    return [kind.item if isinstance(kind, Lines) else kind for kind in kinds]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_body_of_another_type_is_refused(row: Interaction) -> None:
    for kind in bodies(row):
        decoder = msgspec.json.Decoder(kind)
        with pytest.raises(msgspec.ValidationError):
            decoder.decode(b"17.5")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_bodies_can_be_described(row: Interaction) -> None:
    described = [body for _, body in messages_of(row)]
    assert all(body.name for body in described)
    assert bool(described) == (row.request is not None or row.response is not None)


def test_row_of_several_services_says_the_body_of_each() -> None:
    for row in ROWS:
        if isinstance(row.way, Service) and row.way.others:
            assert isinstance(row.request, dict)
            assert set(row.request) == {row.way.name, *row.way.others}, row.id
        if isinstance(row.way, Rpc) and len(row.way.methods) > 1:
            assert isinstance(row.request, dict)
            assert set(row.request) == set(row.way.methods), row.id


def test_every_declared_service_has_its_body() -> None:
    declared = {
        (row.way.side, name) for row in ROWS if isinstance(row.way, Service) for name in (row.way.name, *row.way.others)
    }
    assert declared == {
        *(("vehicle", name) for name in VEHICLE_SERVICES),
        *(("backend", name) for name in BACKEND_SERVICES),
    }


def test_streamed_bodies_are_those_of_files_lines_and_forms() -> None:
    streamed = {row.id for row in ROWS if isinstance(row.way, Http) and row.way.max_body is None}
    assert streamed == {"WL-B1-10", "WL-B1-11", "WL-B1-14", "WL-B1-21", "WL-B5-2", "X-B12-1"}


def test_names_of_services() -> None:
    assert vehicle_service(VIN, "notify") == f"genivi.org/vin/{VIN}/sota/notify"
    assert backend_service("ack") == "genivi.org/backend/sota/ack"
    assert short_name("/sota/start") == short_name(backend_service("start")) == "start"
    assert local_name("start") == "/sota/start"
    assert vin_of(f"genivi.org/vin/{VIN}/") == vin_of(vehicle_service(VIN, "notify")) == VIN
    assert vin_of(backend_service("start")) is None


def test_description_names_members_as_they_are_on_the_wire() -> None:
    described = dict(messages_of(TABLE["WL-B7-5"]))["request"]
    assert [field.name for field in described.fields] == ["download_index", "identity", "index", "bytes"]
    assert describe(list[int]).name == "array of integer"
