"""Requests that arrive close together share a batch; a lone sequential caller never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sota.kit.runtime.batcher import Batcher, BatchTimer

pytestmark = pytest.mark.anyio


class Doubler:
    """Doubles numbers and records the batches; the result of an odd number is an exception."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, numbers: list[int]) -> Sequence[int | Exception]:
        self.batches.append(numbers)
        await asyncio.sleep(0)
        return [ValueError(str(number)) if number % 2 else 2 * number for number in numbers]


def batcher(work: Doubler, *, most: int = 10, pause_s: float = 0.0) -> Batcher[int, int]:
    return Batcher(work, key=lambda number: number, most=most, pause_s=pause_s)


async def test_each_caller_gets_the_result_or_the_exception_of_its_own_item() -> None:
    work = Doubler()
    numbers = batcher(work)
    results = await asyncio.gather(*(numbers.submit(number) for number in (2, 3, 4)), return_exceptions=True)
    assert results[0] == 4
    assert isinstance(results[1], ValueError)
    assert results[2] == 8
    assert work.batches == [[2, 3, 4]]


async def test_a_batch_is_bounded_and_has_no_key_twice() -> None:
    work = Doubler()
    numbers = batcher(work, most=2)
    await asyncio.gather(*(numbers.submit(number) for number in (2, 2, 4, 6)))
    assert work.batches == [[2, 4], [2, 6]]


async def test_a_cancelled_caller_does_not_end_the_batch() -> None:
    work = Doubler()
    numbers = batcher(work)
    cancelled, other = [asyncio.create_task(numbers.submit(number)) for number in (2, 4)]
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await other == 8
    await numbers.settle()


async def test_lone_sequential_caller_never_waits() -> None:
    numbers = batcher(Doubler(), pause_s=3600.0)
    async with asyncio.timeout(30.0):
        for _ in range(3):
            await numbers.submit(2)


def test_pause_follows_a_batch_that_several_callers_shared() -> None:
    timer = BatchTimer(3600.0)
    assert timer.left_s == 0.0
    timer.began(1)
    assert timer.left_s == 0.0
    timer.began(2)
    assert timer.left_s > 0.0
