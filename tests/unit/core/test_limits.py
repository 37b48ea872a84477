"""Limits of transfers: shares of the blocks in flight, bytes a second, and slots in order."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.core.transfers.sending.fair_queue import FairQueue
from sota.core.transfers.sending.limits import Limits, RateLimiter, TokenBucket, TransferSlots
from sota.core.transfers.sending.model import Transfer
from sota.kit.ranges import Ranges
from sota.kit.runtime.clock import new_id
from tests.unit.core.test_transfer_model import DOWNLOAD

ONE, OTHER = new_id(), new_id()


@pytest.mark.parametrize(("transfers", "window"), [(1, 8), (10, 8), (100, 1), (1000, 1), (20, 5)])
def test_windows_shrink_to_share_what_may_be_on_the_way(transfers: int, window: int) -> None:
    assert Limits(window=8, in_flight_bytes=100_000).window_of(transfers, 1000) == window


def test_without_a_limit_the_window_is_what_it_says() -> None:
    assert Limits(window=3).window_of(100_000, 1 << 20) == 3


@given(rate=st.integers(1, 10_000), sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=50))
def test_bucket_is_kept_over_time_whatever_the_sizes(rate: int, sizes: list[int]) -> None:
    bucket = TokenBucket(rate, 0.0)
    now = 0.0
    for size in sizes:
        while pause := bucket.pause_s(now):
            now += pause
        bucket.spend(size)
    assert sum(sizes) - sizes[-1] <= rate * (now + 1) + 1


def test_narrowest_of_all_limits_holds() -> None:
    rates = RateLimiter(Limits(bytes_per_s=1000, request_bytes_per_s=500, vehicle_bytes_per_s=100))
    rates.spend("VIN1", ONE, 400, 0.0)
    assert rates.pause_s("VIN1", ONE, 0.0) == pytest.approx(3.0, abs=0.01)
    assert rates.pause_s("VIN2", ONE, 0.0) == 0.0
    rates.spend("VIN2", ONE, 90, 0.0)
    rates.spend("VIN3", ONE, 90, 0.0)
    assert rates.pause_s("VIN4", ONE, 0.0) == pytest.approx(0.16, abs=0.01)
    assert rates.pause_s("VIN4", OTHER, 0.0) == 0.0


def test_slots_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    slots = TransferSlots(Limits(transfers=2))
    assert [slots.take(vin, ONE) for vin in "abcd"] == [True, True, False, False]
    assert slots.leave("a") == "c"
    assert slots.leave("d") is None
    assert slots.leave("b") is None
    assert len(slots) == 1


def test_request_that_has_its_slots_lets_others_pass() -> None:
    slots = TransferSlots(Limits(transfers_per_request=1))
    assert [slots.take("a", ONE), slots.take("b", ONE), slots.take("c", OTHER)] == [True, False, True]
    assert slots.leave("c") is None
    assert slots.leave("a") == "b"


@pytest.mark.anyio
async def test_transfers_take_turns() -> None:
    sent: list[str] = []
    left = {"a": 5, "b": 5, "c": 2}

    async def send(transfer: Transfer) -> bool:
        vin = transfer.download.vin
        if not left[vin]:
            return False
        left[vin] -= 1
        sent.append(vin)
        await asyncio.sleep(0)
        return True

    queue = FairQueue(RateLimiter(Limits()), send)
    for vin in left:
        queue.add(Transfer(dataclasses.replace(DOWNLOAD, vin=vin), Ranges()))
    worker = asyncio.create_task(queue.work())
    while any(left.values()):  # noqa: ASYNC110 - each pass lets the worker do one step
        await asyncio.sleep(0)
    worker.cancel()
    assert "".join(sent) == "abcabcababab"
