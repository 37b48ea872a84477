"""Messages and scheduled updates on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.boundaries.values import Interval, PackageId
from sota.kit.errors import StartError, Unavailable
from sota.kit.files.set_aside import find_set_aside
from sota.rvi.calendar import Calendar
from sota.rvi.database import NodeDatabase
from sota.rvi.message import Message, Peer
from sota.rvi.message_store import READ_MESSAGES, MessageStore

VIN = "WVW00000000000001"
UPDATE_ID = "0190c5a8-0000-7000-8000-000000000001"
NOW = datetime.now(UTC)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[NodeDatabase]:
    disk = NodeDatabase(tmp_path / "messages.sqlite3")
    await disk.open()
    yield disk
    await disk.close()


async def store_on(disk: NodeDatabase, max_messages: int = 1000, max_bytes: int = 1 << 20) -> MessageStore:
    store = MessageStore(disk, max_messages=max_messages, max_bytes=max_bytes)
    await store.open()
    return store


def message(number: int, service: str = "a", deadline: float | None = None) -> Message:
    peer = Peer(VIN, "credential")
    return Message(service, b"[%d]" % number, 1000, deadline or time.time() + 60, peer)


async def test_messages_come_back_in_their_order(disk: NodeDatabase) -> None:
    store = await store_on(disk)
    await asyncio.gather(*(store.append(message(n, service)) for n in range(5) for service in "ab"))
    again = await store_on(disk)
    assert again.has_waiting("a")
    assert again.has_waiting("b")
    read = await again.next("a")
    assert [m.parameters for m in read] == [b"[0]", b"[1]", b"[2]", b"[3]", b"[4]"]
    assert (read[0].timeout_ms, read[0].peer) == (1000, Peer(VIN, "credential"))
    assert again.messages == 10


async def test_what_was_handed_over_is_not_read_again_unless_taken_back(disk: NodeDatabase) -> None:
    store = await store_on(disk)
    for n in range(3):
        await store.append(message(n))
    for read in await store.next("a"):
        store.mark_handed_over(read)
    assert not store.has_waiting("a")
    store.retry_handed_over("a")
    assert store.has_waiting("a")
    assert len(await store.next("a")) == 3


async def test_what_was_removed_is_gone(disk: NodeDatabase) -> None:
    store = await store_on(disk)
    await store.append(message(1))
    await store.remove([read.number or 0 for read in await store.next("a")])
    assert (store.messages, store.bytes) == (0, 0)
    assert not store.has_waiting("a")


async def test_what_is_over_is_swept(disk: NodeDatabase) -> None:
    store = await store_on(disk)
    await store.append(message(1, deadline=time.time() - 1))
    await store.append(message(2))
    await store.expire()
    assert [read.parameters for read in await store.next("a")] == [b"[2]"]


@pytest.mark.parametrize("moved_by_s", [-1.7e9, -3600.0, 3600.0, 1.7e9])
async def test_a_clock_that_is_set_ends_no_message_and_keeps_none_for_longer(
    disk: NodeDatabase, monkeypatch: pytest.MonkeyPatch, moved_by_s: float
) -> None:
    store = await store_on(disk)
    await store.append(message(1))
    read = (await store.next("a"))[0]
    real, steady, went_by = time.time, time.monotonic, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + moved_by_s)
    monkeypatch.setattr(time, "monotonic", lambda: steady() + went_by)

    again = await store_on(disk)  # as after a restart of the node
    await again.append(message(2))
    await again.expire()
    assert [each.parameters for each in await again.next("a")] == [b"[1]", b"[2]"]
    assert not read.is_over

    went_by = 61.0
    assert read.is_over
    assert all(each.is_over for each in await again.next("a"))
    await again.expire()
    assert await again.next("a") == []


async def test_the_disk_has_a_limit_and_says_so(disk: NodeDatabase) -> None:
    store = await store_on(disk, max_messages=2)
    await store.append(message(1))
    await store.append(message(2))
    with pytest.raises(Unavailable, match="full"):
        store.append(message(3))
    small = await store_on(disk, max_bytes=3)
    with pytest.raises(Unavailable, match="full"):
        small.append(message(4))


async def test_a_long_backlog_is_read_in_parts(disk: NodeDatabase) -> None:
    store = await store_on(disk)
    appended = [store.append(message(n)) for n in range(READ_MESSAGES + 5)]
    await asyncio.gather(*appended)
    seen: list[bytes] = []
    while store.has_waiting("a"):
        for read in await store.next("a"):
            store.mark_handed_over(read)
            seen.append(read.parameters)
    assert seen == [b"[%d]" % n for n in range(READ_MESSAGES + 5)]


async def test_a_disk_that_refuses_is_said_to_the_sender(disk: NodeDatabase) -> None:
    store = await store_on(disk)

    def break_it(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE messages")

    await disk.submit(break_it)
    with pytest.raises(Unavailable, match="refuses"):
        await store.append(message(1))
    assert (store.messages, store.has_waiting("a")) == (0, False)


async def test_a_damaged_file_is_set_aside_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "messages.sqlite3").write_bytes(b"no database" * 1000)
    disk = NodeDatabase(tmp_path / "messages.sqlite3")
    await disk.open()
    store = await store_on(disk)
    await store.append(message(1))
    assert (store.messages, store.has_waiting("a")) == (1, True)
    await disk.close()
    [kept] = find_set_aside(tmp_path / "messages.sqlite3")
    assert kept.read_bytes() == b"no database" * 1000


async def test_a_file_that_cannot_be_opened_stops_the_start_and_stays(tmp_path: Path) -> None:
    (tmp_path / "messages.sqlite3").mkdir()
    disk = NodeDatabase(tmp_path / "messages.sqlite3")
    with pytest.raises(StartError, match="cannot keep messages"):
        await disk.open()
    await disk.close()
    assert find_set_aside(tmp_path / "messages.sqlite3") == []


async def test_a_file_damaged_while_the_node_runs_is_begun_again(tmp_path: Path) -> None:
    disk = NodeDatabase(tmp_path / "messages.sqlite3")
    await disk.open()
    store = await store_on(disk)
    calendar = Calendar(disk)
    await calendar.add([update()])
    for number in range(200):
        await store.append(message(number))

    def damage(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE messages SET peer = x'ff' WHERE number = 5")

    await disk.submit(damage)
    with pytest.raises(Unavailable, match="refuses"):
        await store.next("a")

    assert (store.messages, store.bytes, store.has_waiting("a")) == (0, 0, False)
    await store.append(message(201))
    assert [each.parameters for each in await store.next("a")] == [b"[201]"]
    again = Calendar(disk)
    await again.open()
    assert again.needs_notice(VIN, NOW.timestamp())
    await disk.close()
    assert len(find_set_aside(tmp_path / "messages.sqlite3")) == 1


def update(start: datetime = NOW - timedelta(hours=1), end: datetime = NOW + timedelta(hours=1)) -> ScheduledUpdate:
    package = PackageId(name="ivi", version="2.1.0")
    interval = Interval(start=start, end=end)
    return ScheduledUpdate(
        vin=VIN, update_id=UPDATE_ID, package=package, dependencies=[], interval=interval, priority=10, created_at=NOW
    )


async def test_a_scheduled_update_survives_a_restart(disk: NodeDatabase) -> None:
    await Calendar(disk).add([update()])
    again = Calendar(disk)
    await again.open()
    assert again.needs_notice(VIN, NOW.timestamp())
    assert not again.needs_notice("WVW00000000000002", NOW.timestamp())


async def test_core_is_told_once_of_each_scheduling(disk: NodeDatabase) -> None:
    calendar = Calendar(disk)
    await calendar.add([update()])
    calendar.mark_notified(VIN, NOW.timestamp())
    assert not calendar.needs_notice(VIN, NOW.timestamp())
    await calendar.add([update()])
    assert calendar.needs_notice(VIN, NOW.timestamp())


async def test_an_interval_that_has_not_begun_waits(disk: NodeDatabase) -> None:
    calendar = Calendar(disk)
    await calendar.add([update(start=NOW + timedelta(minutes=1))])
    assert not calendar.needs_notice(VIN, NOW.timestamp())
    assert calendar.needs_notice(VIN, NOW.timestamp() + 61)


async def test_a_withdrawn_update_is_forgotten(disk: NodeDatabase) -> None:
    calendar = Calendar(disk)
    await calendar.add([update()])
    await calendar.remove([UnscheduledUpdate(vin=VIN, update_id=UPDATE_ID)])
    assert len(calendar) == 0
    again = Calendar(disk)
    await again.open()
    assert len(again) == 0


async def test_what_is_over_is_forgotten_unless_scheduled_again(disk: NodeDatabase) -> None:
    calendar = Calendar(disk)
    await calendar.add([update()])
    await calendar.add([update(end=NOW + timedelta(hours=2))])
    calendar.expire((NOW + timedelta(minutes=90)).timestamp())
    assert len(calendar) == 1
    calendar.expire((NOW + timedelta(hours=3)).timestamp())
    assert len(calendar) == 0
