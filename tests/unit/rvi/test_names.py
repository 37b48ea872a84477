"""Names of services, and the patterns that rights are made of."""

from __future__ import annotations

import pytest

from sota.rvi.names import Pattern, ServiceTable, declared_services, vin_of

VIN = "WVW00000000000001"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("genivi.org/", "genivi.org/backend/sota/start", True),
        ("genivi.org/backend", "genivi.org/backend/sota/start", True),
        ("genivi.org/backend/ope", "genivi.org/backend/open/x", False),
        ("genivi.org/vin/+/sota", f"genivi.org/vin/{VIN}/sota/notify", True),
        ("genivi.org/vin/+/sota", f"genivi.org/vin/{VIN}/other/notify", False),
        ("genivi.org/vin/+/sota/notify/deeper", f"genivi.org/vin/{VIN}/sota/notify", False),
        ("", "anything/at/all", True),
        ("rvi:genivi.org/backend/", "genivi.org/backend/x", True),
        ("+", "genivi.org/backend/x", True),
    ],
)
def test_a_right_is_compared_element_by_element(pattern: str, name: str, *, expected: bool) -> None:
    assert Pattern.read(pattern).matches(name) is expected


def test_a_right_tells_the_one_vehicle_it_is_about() -> None:
    assert Pattern.read(f"genivi.org/vin/{VIN}/").vin == VIN
    assert Pattern.read("genivi.org/vin/+/sota").vin is None
    assert Pattern.read("genivi.org/").vin is None


def test_vin_of_a_service() -> None:
    assert vin_of(f"genivi.org/vin/{VIN}/sota/notify") == VIN
    assert vin_of("genivi.org/vin/wvw00000000000001/sota/notify") is None
    assert vin_of("genivi.org/backend/sota/start") is None


def test_the_whitelist_and_its_extensions_name_these_services() -> None:
    backend = {"start", "cancel", "ack", "report", "packages", "renew", "connected", "stage"}
    assert declared_services("backend") == backend
    vehicle = {"notify", "start", "abort", "chunk", "finish", "reported", "getpackages", "identity", "welcome"}
    assert declared_services("vehicle") == vehicle


@pytest.mark.parametrize(
    "name",
    ["genivi.org/backend/sota/ack", f"genivi.org/vin/{VIN}/sota/chunk"],
)
def test_services_of_the_whitelist_may_pass(name: str) -> None:
    assert ServiceTable().allows(name)


@pytest.mark.parametrize(
    "name",
    [
        "genivi.org/backend/sota/chunk",  # a vehicle's service
        f"genivi.org/vin/{VIN}/sota/ack",  # the backend's
        "genivi.org/vin/short/sota/chunk",
        "genivi.org/backend/sota/ack/more",
        "genivi.org/backend/ack",
        "genivi.org/backend//sota/ack",
        "",
        "genivi.org/backend/sota/" + "a" * 300,
    ],
)
def test_other_services_may_not(name: str) -> None:
    assert not ServiceTable().allows(name)


def test_an_operator_may_add_services() -> None:
    table = ServiceTable(["open", "control/+/state"])
    assert table.allows("genivi.org/backend/open/x")
    assert table.allows(f"genivi.org/vin/{VIN}/control/door/state")
    assert not table.allows("genivi.org/backend/opened")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("genivi.org/device/+/sota", "genivi.org/device/1b4e28ba-2fa1/sota/notify", True),
        ("genivi.org/device/+/sota", "genivi.org/device/1b4e28ba-2fa1/doors", False),
        ("+", "genivi.org/device/1b4e28ba-2fa1/sota/notify", True),
        ("+", "genivi.org/backend/open/x", True),
        ("+", f"genivi.org/vin/{VIN}/ws/echo", True),
        ("+", "genivi.org/peer/s", True),
    ],
)
def test_an_operator_may_add_names_of_other_prefixes_or_all(pattern: str, name: str, *, expected: bool) -> None:
    assert ServiceTable([pattern]).allows(name) is expected
