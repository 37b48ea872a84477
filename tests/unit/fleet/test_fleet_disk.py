"""Where files are written: alone, and by many that wait for the disk together."""

from __future__ import annotations

import asyncio
import functools
import threading
from pathlib import Path

import pytest

from sota.fleet.disk import FEW, FleetDisk
from sota.fleet.syncfs import FileSystemSync
from sota.kit.files.block_file import BlockFile, BlockWriter
from sota.kit.files.disk import Disk, Sync
from sota.kit.files.durable import needs_sync
from tests.support.blocks import write


@pytest.mark.parametrize("make", [Disk, lambda: FleetDisk(threads=2)])
async def test_each_writer_waits_for_its_own_sync(make: type[Disk]) -> None:
    disk: Disk = make()
    events: list[str] = []
    lock = threading.Lock()

    def tell(event: str) -> None:
        with lock:
            events.append(event)

    def write_number(number: int) -> int:
        tell(f"write {number}")
        return number

    async def write(number: int) -> None:
        assert await disk.write(functools.partial(write_number, number), lambda: tell(f"sync {number}")) == number
        tell(f"done {number}")

    await asyncio.gather(*(write(number) for number in range(50)))

    for number in range(50):
        places = [events.index(f"{what} {number}") for what in ("write", "sync", "done")]
        assert places == sorted(places)
    assert len(events) == 150


async def test_a_disk_that_fails_one_fails_no_other() -> None:
    disk = FleetDisk(threads=1)

    def fail() -> None:
        raise OSError(5, "Input/output error")

    ends = await asyncio.gather(
        disk.write(lambda: 1, lambda: None),
        disk.write(lambda: 2, fail),
        disk.write(lambda: 3, lambda: None),
        return_exceptions=True,
    )

    assert ends[0] == 1
    assert isinstance(ends[1], OSError)
    assert ends[2] == 3
    disk.close()


async def test_what_many_wait_for_is_one_sync_of_the_file_system(tmp_path: Path) -> None:
    events: list[str] = []
    whole = FileSystemSync(tmp_path)

    def sync_all() -> None:
        events.append("whole")
        whole()

    def sync_own() -> None:
        events.append("own" if needs_sync() else "covered")

    def write(number: int) -> None:
        (tmp_path / str(number)).write_bytes(b"x")
        events.append("write")

    disk = FleetDisk(threads=2, sync_all=sync_all)
    await asyncio.gather(*(disk.write(functools.partial(write, number), sync_own) for number in range(20)))
    assert events == ["write"] * 20 + ["whole"] + ["covered"] * 20

    events.clear()
    await asyncio.gather(*(disk.write(lambda: None, sync_own) for _ in range(FEW)))
    assert events == ["own"] * FEW
    disk.close()
    whole.close()


async def test_a_file_system_that_fails_once_fails_all_from_then_on(tmp_path: Path) -> None:
    whole = FileSystemSync(tmp_path)
    whole.close()  # the next call fails as that of a broken disk does: with a number for the reason
    disk = FleetDisk(threads=1, sync_all=whole)

    for _ in range(2):
        ends = await asyncio.gather(
            *(disk.write(lambda: None, lambda: None) for _ in range(FEW + 1)), return_exceptions=True
        )
        assert [type(end) for end in ends] == [OSError] * (FEW + 1)
    disk.close()


async def test_blocks_of_many_files_arrive_whole(tmp_path: Path) -> None:
    disk = FleetDisk(threads=2, sync_all=FileSystemSync(tmp_path))
    contents = [bytes([number]) * 250 for number in range(20)]

    async def receive(number: int) -> BlockFile:
        file = BlockFile.open(tmp_path / str(number), 250, 100)
        writer = BlockWriter(file, disk)
        blocks = [contents[number][begin : begin + 100] for begin in (0, 100, 200)]
        assert await asyncio.gather(*(writer.write(index, block) for index, block in enumerate(blocks, start=1)))
        return file

    files = await asyncio.gather(*(receive(number) for number in range(20)))

    for number, file in enumerate(files):
        assert file.complete
        whole = file.sha256()
        file.close()
        again = BlockFile.open(tmp_path / str(number), 250, 100)
        assert again.complete
        assert not again.is_hashed
        assert again.sha256() == whole
        again.close()
    disk.close()


class FailingOnce(FleetDisk):
    """Fails the first sync if the test wants it."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def sync(self, sync: Sync) -> None:
        """Wait, and fail or sync."""
        if not self.begun.is_set():
            self.begun.set()
            await self.go_on.wait()
            raise OSError(5, "Input/output error")
        await super().sync(sync)


async def test_what_was_written_while_a_sync_failed_does_not_count(tmp_path: Path) -> None:
    disk = FailingOnce()
    writer = BlockWriter(BlockFile.open(tmp_path / "x", 4, 2), disk)
    first = writer.take(1, b"ab")
    await disk.begun.wait()
    second = writer.take(2, b"cd")
    assert first is not None
    assert second is not None
    disk.go_on.set()

    ends = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(end) for end in ends] == [OSError, OSError]
    assert len(writer.file.received) == 0
    assert await writer.write(1, b"ab")
    await writer.settle()
    assert writer.file.received.text() == "1"
    writer.file.close()
    disk.close()


def test_a_block_that_is_written_again_is_hashed_as_it_stays(tmp_path: Path) -> None:
    file = BlockFile.open(tmp_path / "x", 4, 2)
    file.put([(1, b"ab")])
    write(file, [(1, b"cd"), (2, b"ef")])
    in_order = file.sha256()
    file.close()

    file = BlockFile.open(tmp_path / "x", 4, 2)
    assert file.sha256() == in_order
    file.close()
