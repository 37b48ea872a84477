"""The bell that tasks wait for."""

from __future__ import annotations

import asyncio

import pytest

from sota.kit.http.prefer_header import wait_s
from sota.kit.runtime.notifier import Bell


async def test_ring_wakes_everybody_who_waits() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(bell.rings, 5.0)) for _ in range(3)]
    await asyncio.sleep(0)

    bell.ring()

    async with asyncio.timeout(30.0):
        await asyncio.gather(*waiting)


async def test_ring_before_waiting_is_not_missed() -> None:
    bell = Bell()
    heard = bell.rings
    bell.ring()

    async with asyncio.timeout(30.0):
        await bell.wait(heard, None)


async def test_waiting_ends_by_itself() -> None:
    bell = Bell()
    async with asyncio.timeout(30.0):
        await bell.wait(bell.rings, 0.01)


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
