"""What is tried again until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sota.client.retry_tasks import RetryPolicy, RetryTasks
from sota.kit.errors import Unavailable

QUICK = RetryPolicy(0.01, 0.02)
SLOW = RetryPolicy(60.0, 60.0)


@pytest.fixture
async def retries() -> AsyncIterator[RetryTasks]:
    running = RetryTasks()
    yield running
    await running.close()


class Attempts:
    """Fails so often, then succeeds; sets an event at each."""

    def __init__(self, failures: int, *, error: Exception | None = None) -> None:
        self.count = 0
        self.failures, self.error = failures, error
        self.made = asyncio.Semaphore(0)

    async def __call__(self) -> bool:
        self.count += 1
        self.made.release()
        if self.count <= self.failures:
            if self.error is not None:
                raise self.error
            return False
        return True

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(5.0):
            for _ in range(count):
                await self.made.acquire()


@pytest.mark.parametrize("error", [None, Unavailable("away"), OSError("broken")])
async def test_task_is_tried_until_it_is_done(retries: RetryTasks, error: Exception | None) -> None:
    attempts = Attempts(3, error=error)
    retries.start("x", attempts, QUICK)
    await attempts.wait(4)
    await asyncio.sleep(0.05)
    assert attempts.count == 4


async def test_task_that_is_stopped_is_tried_no_more(retries: RetryTasks) -> None:
    attempts = Attempts(1000)
    retries.start("x", attempts, QUICK)
    await attempts.wait(2)
    retries.stop("x")
    count = attempts.count
    await asyncio.sleep(0.05)
    assert attempts.count == count


async def test_one_task_a_key(retries: RetryTasks) -> None:
    first, second = Attempts(1000), Attempts(0)
    retries.start("x", first, SLOW)
    await first.wait(1)
    retries.start("x", second, SLOW)
    retries.start("y", second, SLOW)
    await second.wait(1)
    assert (first.count, second.count) == (1, 1)


async def test_hurried_task_does_not_wait_for_its_pause(retries: RetryTasks) -> None:
    attempts = Attempts(1)
    retries.start("x", attempts, SLOW)
    await attempts.wait(1)
    await asyncio.sleep(0)
    retries.retry_now()
    await attempts.wait(1)
    assert attempts.count == 2


async def test_task_is_given_up_where_its_policy_says_so(retries: RetryTasks) -> None:
    attempts = Attempts(1000)
    retries.start("x", attempts, RetryPolicy(0.001, 0.001, attempts=3))
    await attempts.wait(3)
    await asyncio.sleep(0.05)
    assert attempts.count == 3


async def test_task_can_be_stopped_from_within(retries: RetryTasks) -> None:
    async def attempt() -> bool:
        retries.stop("x")
        await asyncio.sleep(0)
        ended.set()
        return True

    ended = asyncio.Event()
    retries.start("x", attempt, QUICK)
    async with asyncio.timeout(5.0):
        await ended.wait()
