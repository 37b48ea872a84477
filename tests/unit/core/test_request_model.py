"""Who gets an update, in which order its packages come, and how far a request is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sota.core.packages.model import is_older, version_key
from sota.core.requests.model import Counts, InstallRequest, Order, in_order, refused_versions, status_of
from sota.core.vehicles.model import after_install, after_removal, differences
from sota.kit.runtime.clock import new_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IVI = ("ivi", "2.1.0")
LIBRARY = ("libmap", "1.4.0")


def order(**changes: object) -> Order:
    return Order(IVI, 10, NOW, NOW, **changes)  # type: ignore[arg-type]


def test_prerequisites_come_first_and_the_package_last() -> None:
    assert in_order(order(), [IVI, LIBRARY]) == (LIBRARY, IVI)


def test_removal_removes_the_package_alone() -> None:
    assert in_order(order(command="remove"), [LIBRARY, IVI]) == (IVI,)


def test_vehicle_that_has_the_package_or_a_newer_one_gets_no_update() -> None:
    assert refused_versions(order(), ["2.0.9", "2.1.0", "2.10.0", "unknown"]) == {"2.1.0", "2.10.0"}


def test_downgrade_needs_the_requests_consent() -> None:
    assert refused_versions(order(allow_downgrade=True), ["2.0.9", "2.1.0", "2.10.0"]) == {"2.1.0"}


@pytest.mark.parametrize(
    ("counts", "ended_as", "status"),
    [
        (Counts(), None, "failed"),
        (Counts(pending=2), None, "running"),
        (Counts(pending=2, installed=1), None, "running"),
        (Counts(in_flight=1), "cancelled", "running"),
        (Counts(installed=1, failed=1, cancelled=1), None, "completed"),
        (Counts(failed=1, cancelled=1), None, "failed"),
        (Counts(installed=1, cancelled=1), "cancelled", "cancelled"),
        (Counts(cancelled=2), "stopped", "stopped"),
    ],
)
def test_status_of_a_request_follows_from_its_updates(counts: Counts, ended_as: str | None, status: str) -> None:
    assert status_of([request(ended_as=ended_as)], counts, NOW) == status


def test_request_is_scheduled_until_its_interval_begins() -> None:
    before = NOW - timedelta(seconds=1)
    assert status_of([request()], Counts(pending=2), before) == "scheduled"
    assert status_of([request()], Counts(pending=2), NOW) == "running"
    assert status_of([request()], Counts(pending=1, cancelled=1), before) == "running"


def request(ended_as: str | None = None) -> InstallRequest:
    """A request whose interval has just begun."""
    return InstallRequest(new_id(), 0, "request", None, order(), 0, NOW, ended_as=ended_as)


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
