"""Sets of numbers as ranges, held against Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.ranges import Ranges

NUMBERS = st.sets(st.integers(1, 60))


@given(st.lists(st.integers(1, 60)))
def test_ranges_hold_what_was_added(numbers: list[int]) -> None:
    ranges, seen = Ranges(), set[int]()
    for number in numbers:
        assert ranges.add(number) is (number not in seen)
        seen.add(number)
    assert len(ranges) == len(seen)
    assert [number for number in range(1, 62) if number in ranges] == sorted(seen)
    assert list(ranges.missing(60)) == sorted(set(range(1, 61)) - seen)


@given(NUMBERS)
def test_what_is_written_is_read_again(numbers: set[int]) -> None:
    ranges = Ranges(numbers)
    assert Ranges.parse(ranges.text()) == ranges


@given(NUMBERS, st.integers(0, 40))
def test_shortened_text_is_still_true(numbers: set[int], limit: int) -> None:
    text = Ranges(numbers).text(limit)
    assert len(text) <= limit
    told = Ranges.parse(text)
    assert all(number in numbers for number in range(1, 62) if number in told)


@given(NUMBERS, NUMBERS)
def test_ranges_are_equal_when_their_numbers_are(one: set[int], other: set[int]) -> None:
    assert (Ranges(one) == Ranges(other)) is (one == other)


def test_ranges_are_written_as_short_as_can_be() -> None:
    assert Ranges([12, 1, 3, 2, 4, 10, 11, 20]).text() == "1-4,10-12,20"
    assert Ranges().text() == ""
    assert Ranges.up_to(0).text() == ""
    assert Ranges.up_to(7).text() == "1-7"


def test_ranges_may_overlap_and_stand_in_any_order_when_they_are_read() -> None:
    assert Ranges.parse("5-8,1-2,3,7-9").text() == "1-3,5-9"


@pytest.mark.parametrize("text", ["0", "3-1", "a", "1,,2", "-3", "1-", ","])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Ranges.parse(text)


def test_copy_changes_alone() -> None:
    ranges = Ranges([1])
    twin = ranges.copy()
    twin.add(2)
    assert (ranges.text(), twin.text()) == ("1", "1-2")
