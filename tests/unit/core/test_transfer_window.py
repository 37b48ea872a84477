"""How many blocks of a transfer are in flight, over a simulated link."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.core.transfers.sending.window import FIRST, MOST, Window


@dataclass
class Link:
    """Receives one block after the other, ``block_s`` each; an acknowledgement arrives ``travel_s`` later."""

    block_s: float
    travel_s: float
    free_at: float = 0.0

    def send(self, now: float) -> float:
        """Send a block; return when its acknowledgement arrives."""
        self.free_at = max(now, self.free_at) + self.block_s
        return self.free_at + self.travel_s


def transfer(link: Link, window: Window, blocks: int, most: int = 8) -> tuple[float, float]:
    """Transfer blocks; return the seconds, and the mean number in flight during the second half."""
    now, sent, seen = 0.0, 0, list[int]()
    under_way: list[tuple[float, float]] = []
    for number in range(blocks):
        while sent < blocks and len(under_way) < min(most, window.blocks):
            heapq.heappush(under_way, (link.send(now), now))
            sent += 1
        if number > blocks // 2 and sent < blocks:
            seen.append(len(under_way))
        now, sent_at = heapq.heappop(under_way)
        window.acknowledged(now - sent_at, 1)
    return now, sum(seen) / len(seen)


@pytest.mark.parametrize("travel_s", [0.0, 0.01, 0.05])
def test_a_link_that_one_block_fills_gets_two_or_three(travel_s: float) -> None:
    took, on_the_way = transfer(Link(0.175, travel_s), Window(), 100)

    assert 1.5 <= on_the_way <= 3.1
    assert took <= 1.05 * (100 * 0.175 + travel_s)


def test_a_long_and_quick_link_gets_as_much_as_may_be() -> None:
    took, on_the_way = transfer(Link(0.001, 0.3), Window(), 400)

    assert on_the_way == 8
    assert took <= 1.15 * transfer(Link(0.001, 0.3), Window(size=8.0), 400)[0]


def test_nothing_waits_two_seconds_where_a_smaller_window_prevents_it() -> None:
    _, on_the_way = transfer(Link(1.5, 0.1), Window(), 60)

    assert on_the_way < 2.5


def test_it_begins_small_and_a_loss_halves_it() -> None:
    window = Window()
    assert window.blocks == FIRST

    for _ in range(8):
        window.acknowledged(0.1, 1)
    window.lost()

    assert window.blocks == (FIRST + 8) / 2
    for _ in range(10):
        window.lost()
    assert window.blocks == 1


@given(st.lists(st.one_of(st.none(), st.tuples(st.floats(-1, 1e4), st.integers(1, 300)))))
def test_whatever_comes_at_least_one_block_may_be_sent(events: list[tuple[float, int] | None]) -> None:
    window = Window()

    for event in events:
        if event is None:
            window.lost()
        else:
            window.acknowledged(*event)

        assert 1 <= window.blocks <= MOST
