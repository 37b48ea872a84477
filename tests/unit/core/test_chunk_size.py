"""How many vehicles are queued at a time."""

from __future__ import annotations

import pytest

from sota.core.requests.chunk_size import AIM_S, ChunkSize


def test_a_machine_that_writes_quickly_is_given_more_and_more_up_to_the_limit() -> None:
    chunk, sizes = ChunkSize.of(is_sqlite=True), []
    for _ in range(6):
        sizes.append(chunk.size)
        chunk.note(chunk.size, 0.000_01)
    assert sizes == [500, 750, 1125, 1687, 2000, 2000]


@pytest.mark.parametrize("vehicles_a_second", [20_000, 30_000, 60_000, 75_000])
def test_the_size_settles_where_others_wait_as_long_as_they_may(vehicles_a_second: int) -> None:
    chunk = ChunkSize.of(is_sqlite=True)
    for _ in range(10):
        chunk.note(chunk.size, chunk.size / vehicles_a_second)
    assert chunk.size == pytest.approx(vehicles_a_second * AIM_S, rel=0.01)


def test_one_slow_transaction_halves_the_size_at_most_and_a_slow_machine_keeps_the_smallest() -> None:
    chunk = ChunkSize(1600, 500, 2000)
    chunk.note(1600, 30.0)
    assert chunk.size == 800
    for _ in range(4):
        chunk.note(chunk.size, 30.0)
    assert chunk.size == 500


def test_on_mariadb_the_size_stays() -> None:
    chunk = ChunkSize.of(is_sqlite=False)
    for took_s in (0.0, 5.0):
        chunk.note(2000, took_s)
        assert chunk.size == 2000
