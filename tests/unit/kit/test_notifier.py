"""The notifier that tasks wait for."""

from __future__ import annotations

import asyncio

import pytest

from sota.kit.http.prefer_header import wait_s
from sota.kit.runtime.notifier import Notifier


async def test_notification_wakes_all_waiting_tasks() -> None:
    notifier = Notifier()
    waiting = [asyncio.create_task(notifier.wait(notifier.count, 5.0)) for _ in range(3)]
    await asyncio.sleep(0)

    notifier.notify()

    async with asyncio.timeout(30.0):
        await asyncio.gather(*waiting)


async def test_notification_before_waiting_is_not_missed() -> None:
    notifier = Notifier()
    seen = notifier.count
    notifier.notify()

    async with asyncio.timeout(30.0):
        await notifier.wait(seen, None)


async def test_waiting_ends_at_the_timeout() -> None:
    notifier = Notifier()
    async with asyncio.timeout(30.0):
        await notifier.wait(notifier.count, 0.01)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5.0),
        ("respond-async, wait=20", 20.0),
        ('Wait="7"; x', 7.0),
        ("wait=100000", 60.0),
        ("await=5", 0.0),
        ("wait=-5", 0.0),
        ("wait=x", 0.0),
        ("", 0.0),
    ],
)
def test_preference_to_wait_is_read(header: str, seconds: float) -> None:
    assert wait_s({"prefer": header}) == seconds
