"""Who gets an update, in which order its packages come, and how far a request is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sota.core.packages.model import is_older, version_key
from sota.core.requests.model import Counts, Order, plan
from sota.core.vehicles.model import after_install, after_removal, differences

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IVI = ("ivi", "2.1.0")
LIBRARY = ("libmap", "1.4.0")


def order(**changes: object) -> Order:
    return Order(IVI, 10, NOW, NOW, **changes)  # type: ignore[arg-type]


def test_prerequisites_come_first_and_the_package_last() -> None:
    planned = plan(order(), [("A", [IVI, LIBRARY])], {"A": set()})
    assert planned.updates == {"A": [LIBRARY, IVI]}


def test_vehicle_that_has_the_package_gets_no_update() -> None:
    planned = plan(order(), [("A", [IVI]), ("B", [IVI])], {"A": {IVI}, "B": {("ivi", "2.0.9")}})
    assert list(planned.updates) == ["B"]
    assert planned.left_out == {"installed_already": 1}


def test_vehicle_that_core_does_not_know_gets_no_update() -> None:
    assert plan(order(), [("A", [IVI])], {}).left_out == {"unknown_vin": 1}


def test_downgrade_needs_the_requests_consent() -> None:
    newer = {"A": {("ivi", "2.10.0")}}
    assert plan(order(), [("A", [IVI])], newer).left_out == {"downgrade": 1}
    assert plan(order(allow_downgrade=True), [("A", [IVI])], newer).updates == {"A": [IVI]}


def test_removal_is_for_those_who_have_the_package() -> None:
    planned = plan(order(command="remove"), [("A", [LIBRARY, IVI]), ("B", [IVI])], {"A": {IVI}, "B": set()})
    assert planned.updates == {"A": [IVI]}
    assert planned.left_out == {"not_installed": 1}


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        (Counts(), "completed"),
        (Counts(pending=2), "pending"),
        (Counts(pending=2, installed=1), "in_flight"),
        (Counts(in_flight=1), "in_flight"),
        (Counts(installed=1, failed=1, cancelled=1), "completed"),
    ],
)
def test_status_of_a_request_follows_from_its_updates(counts: Counts, status: str) -> None:
    assert counts.status == status


def test_counts_add_up() -> None:
    assert Counts(pending=1, failed=2) + Counts(pending=3) == Counts(pending=4, failed=2)


def test_versions_are_compared_as_numbers() -> None:
    assert is_older("1.9.3", than="1.10.0")
    assert not is_older("1.10.0", than="1.10.0")
    assert not is_older("5.2-15+b7", than="9.0.0")
    assert version_key("1.0") is None


def test_installed_package_takes_the_place_of_its_other_versions() -> None:
    before = {("ivi", "2.0.0"), LIBRARY}
    after = after_install(before, IVI)
    assert after == {IVI, LIBRARY}
    assert differences(before, after) == ({IVI}, {("ivi", "2.0.0")})
    assert after_removal(after, "ivi") == {LIBRARY}
