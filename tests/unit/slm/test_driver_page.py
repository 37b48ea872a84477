"""The driver's page offers what would be taken, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sota.boundaries.b10_client_slm.messages import ConsentQuestion
from sota.boundaries.values import PackageId
from sota.slm.driver_page import render

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUESTION = ConsentQuestion(
    update_id="0190f000-0000-7000-8000-000000000001",
    description="",
    packages=[PackageId(name="ivi", version="1.0.0")],
    size=1_000_000,
    asked_at=NOW,
    deferrals_left=2,
)


@pytest.mark.parametrize(
    ("left", "offered"),
    [
        (None, []),
        (timedelta(minutes=59), []),
        (timedelta(hours=1), ["1"]),
        (timedelta(hours=5), ["1", "4"]),
        (timedelta(days=7), ["1", "4", "24"]),
    ],
)
def test_only_times_that_would_be_taken_are_offered(left: timedelta | None, offered: list[str]) -> None:
    question = msgspec.structs.replace(QUESTION, defer_until=None if left is None else NOW + left)

    page = render([question], "secret", NOW).decode()

    assert [hours for hours in ("1", "4", "24") if f'<option value="{hours}"' in page] == offered
    assert ('value="defer"' in page) is bool(offered)
    assert 'value="accept"' in page
    assert 'value="decline"' in page


def test_page_without_questions_says_so() -> None:
    assert b"No update waits for you." in render([], "secret", NOW)
