"""Sets of numbers as ranges, held against Python's own sets."""

from __future__ import annotations

import contextlib
import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.boundaries.values import Blocks
from sota.core.transfers.sending.model import Phase, Transfer
from sota.kit.ranges import Ranges
from tests.unit.core.test_transfer_model import BLOCK, DOWNLOAD

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


PART = st.one_of(
    st.integers(-3, 70).map(str),
    st.tuples(st.integers(-1, 70), st.integers(-1, 70)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(1, 10**12).map(lambda start: f"{start}-{start * 3}"),
    st.text("0123456789-, +_x\n\u0663\uff11", max_size=6),
)
TEXTS = st.lists(PART, max_size=20).map(",".join)


@given(TEXTS)
def test_whatever_a_vehicle_says_is_read_rightly_or_refused(text: str) -> None:
    """A text is refused by the boundary's type or the parser, or both agree with a reading by hand."""
    try:
        told = msgspec.convert(text, Blocks)
    except msgspec.ValidationError:
        with contextlib.suppress(ValueError):  # what the type refuses must only do no harm here
            Ranges.parse(text)
        return
    wanted: set[int] = set()
    for part in told.split(",") if told else ():
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            with pytest.raises(ValueError, match="range"):
                Ranges.parse(told)
            return
        wanted |= set(range(int(first), min(int(last or first), 200) + 1))
    ranges = Ranges.parse(told)
    assert {number for number in range(1, 201) if number in ranges} == {one for one in wanted if one <= 200}
    within = ranges.within(60)
    assert list(within.missing(60)) == [number for number in range(1, 61) if number not in wanted]
    assert Ranges.parse(ranges.text()) == ranges
    assert len(ranges.text()) <= len(told)


@given(st.lists(TEXTS, max_size=6), st.integers(1, 40), st.integers(1, 8))
def test_no_acknowledgement_takes_a_transfer_out_of_its_bounds(texts: list[str], blocks: int, window: int) -> None:
    transfer = Transfer(dataclasses.replace(DOWNLOAD, size=blocks * BLOCK), Ranges())
    transfer.enter(Phase.SENDING)
    for text in texts:
        try:
            ranges = Ranges.parse(text)
        except ValueError:
            continue
        transfer.acknowledged(ranges.within(blocks), 1.0)
        assert len(transfer.received) <= blocks
        while (index := transfer.next_block(window)) is not None:
            assert 1 <= index <= blocks
            assert index not in transfer.received
            transfer.mark_sent(index, 1.0)
    assert len(transfer.sent) <= window
    assert transfer.is_complete == (not list(transfer.received.missing(blocks)))
