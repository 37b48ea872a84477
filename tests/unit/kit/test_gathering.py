"""Turns that are shared: the first is at once, the next one waits."""

from __future__ import annotations

import asyncio

import pytest

from sota.kit.runtime.batcher import Gathering

pytestmark = pytest.mark.anyio


async def test_first_turn_is_at_once_and_the_next_waits() -> None:
    gathering = Gathering(60.0)
    await asyncio.wait_for(gathering.turn(), 10.0)
    gathering.took(2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gathering.turn(), 0.01)


async def test_turn_after_a_quiet_time_is_at_once() -> None:
    gathering = Gathering(0.0)
    for _ in range(2):
        await asyncio.wait_for(gathering.turn(), 10.0)
        gathering.took(2)


async def test_one_who_comes_alone_waits_for_nobody() -> None:
    gathering = Gathering(60.0)
    for _ in range(2):
        await asyncio.wait_for(gathering.turn(), 10.0)
        gathering.took(1)
