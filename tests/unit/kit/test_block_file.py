"""A file that arrives in blocks: the received ranges are true after any damage."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sota.fleet.disk import FleetDisk
from sota.kit.errors import Invalid
from sota.kit.files.block_file import TAKEN_BYTES, BlockFile, BlockWriter, StorageFull, count_blocks, open_block_file
from sota.kit.files.disk import Disk
from sota.kit.ranges import Ranges
from tests.support.blocks import write

SIZE, BLOCK = 1_050, 100
CONTENT = hashlib.shake_128(b"payload").digest(SIZE)
COUNT = 11
DISKS = [Disk, lambda: FleetDisk(threads=1)]


def block(index: int) -> bytes:
    return CONTENT[(index - 1) * BLOCK : index * BLOCK]


def filled(path: Path, *indexes: int) -> BlockFile:
    file = BlockFile.open(path, SIZE, BLOCK)
    write(file, [(index, block(index)) for index in indexes])
    return file


@given(st.lists(st.lists(st.integers(1, COUNT), max_size=5), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_in_any_order_make_the_file(tmp_path: Path, batches: list[list[int]]) -> None:
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    written: set[int] = set()
    for batch in batches:
        file = filled(path, *batch)  # opened again each time, as after a restart
        written |= set(batch)
        assert file.received == Ranges(written)
        file.close()
    file = filled(path, *range(1, COUNT + 1))
    assert file.complete
    assert file.sha256() == hashlib.sha256(CONTENT).hexdigest()
    file.close()


@given(st.integers(1, COUNT), st.integers(0, SIZE + COUNT * 8 - 1), st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_block_does_not_count(tmp_path: Path, missing: int, at: int, flip: int) -> None:
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    filled(path, *(index for index in range(1, COUNT + 1) if index != missing)).close()
    content = bytearray(path.read_bytes())
    content[at] ^= flip
    path.write_bytes(content)

    file = BlockFile.open(path, SIZE, BLOCK)

    hit = at // BLOCK + 1 if at < SIZE else (at - SIZE) // 8 + 1
    assert file.received == Ranges(set(range(1, COUNT + 1)) - {missing, hit})
    file.close()


def test_block_of_zeros_counts_only_when_it_was_written(tmp_path: Path) -> None:
    file = BlockFile.open(tmp_path / "file", 200, 100)
    assert len(file.received) == 0
    write(file, [(2, bytes(100))])
    file.close()

    assert BlockFile.open(tmp_path / "file", 200, 100).received.text() == "2"


def test_block_of_another_file_with_the_same_name_does_not_count(tmp_path: Path) -> None:
    filled(tmp_path / "file", 1, 2, 3).close()

    file = BlockFile.open(tmp_path / "file", SIZE + 1, BLOCK)

    assert len(file.received) == 0
    file.close()


@pytest.mark.parametrize("make", DISKS)
async def test_saved_file_is_the_payload_alone(tmp_path: Path, make: Callable[[], Disk]) -> None:
    await filled(tmp_path / "file", *range(1, COUNT + 1)).save_as(tmp_path / "whole", make())

    assert (tmp_path / "whole").read_bytes() == CONTENT
    assert not (tmp_path / "file").exists()


async def test_file_whose_marks_are_cut_off_is_complete(tmp_path: Path) -> None:
    filled(tmp_path / "file", *range(1, COUNT + 1)).close()
    os.truncate(tmp_path / "file", SIZE)  # where the power may go while it is saved

    file = BlockFile.open(tmp_path / "file", SIZE, BLOCK)

    assert file.complete
    await file.save_as(tmp_path / "whole", Disk())
    assert (tmp_path / "whole").read_bytes() == CONTENT


@pytest.mark.parametrize(("index", "content"), [(0, b"x"), (12, b"x"), (1, b"short"), (11, bytes(100))])
def test_block_that_cannot_be_is_refused(tmp_path: Path, index: int, content: bytes) -> None:
    file = BlockFile.open(tmp_path / "file", SIZE, BLOCK)
    with pytest.raises(Invalid):
        write(file, [(index, content)])
    assert len(file.received) == 0
    file.close()


async def test_empty_file_is_complete(tmp_path: Path) -> None:
    file = BlockFile.open(tmp_path / "file", 0, BLOCK)
    assert file.complete
    assert file.sha256() == hashlib.sha256(b"").hexdigest()
    await file.save_as(tmp_path / "whole", Disk())
    assert (tmp_path / "whole").read_bytes() == b""


@pytest.mark.parametrize("make", DISKS)
async def test_file_is_made_or_taken_up_on_every_disk(tmp_path: Path, make: Callable[[], Disk]) -> None:
    disk = make()
    file = await open_block_file(tmp_path / "file", SIZE, BLOCK, disk)
    write(file, [(2, CONTENT[BLOCK : 2 * BLOCK])])
    file.close()

    again = await open_block_file(tmp_path / "file", SIZE, BLOCK, disk)

    assert again.received.text() == "2"
    again.close()


def test_full_disk_is_met_at_the_beginning(tmp_path: Path) -> None:
    with pytest.raises(StorageFull):
        BlockFile.open(tmp_path / "file", 1 << 50, 1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_counted() -> None:
    assert [count_blocks(size, 100) for size in (0, 1, 100, 101)] == [0, 1, 1, 2]


async def test_writer_stores_blocks_of_many_tasks_once_each(tmp_path: Path) -> None:
    writer = BlockWriter(BlockFile.open(tmp_path / "file", SIZE, BLOCK))

    twice = [*range(1, COUNT + 1), *range(1, COUNT + 1)]
    new = await asyncio.gather(*(writer.write(index, block(index)) for index in twice))

    assert sum(new) == COUNT
    assert writer.file.complete
    assert writer.file.sha256() == hashlib.sha256(CONTENT).hexdigest()
    await writer.settle()
    writer.file.close()


async def test_failing_disk_fails_the_block_and_not_the_writer(tmp_path: Path) -> None:
    file = BlockFile.open(tmp_path / "file", SIZE, BLOCK)
    writer = BlockWriter(file)
    file.close()

    with pytest.raises(OSError, match=r"\S"):
        await writer.write(1, block(1))

    assert len(file.received) == 0
    await writer.settle()


async def test_cancelled_writer_leaves_the_others_alone(tmp_path: Path) -> None:
    writer = BlockWriter(BlockFile.open(tmp_path / "file", SIZE, BLOCK))
    first = asyncio.create_task(writer.write(1, block(1)))
    second = asyncio.create_task(writer.write(2, block(2)))
    await asyncio.sleep(0)

    first.cancel()

    assert await second
    await writer.settle()
    assert writer.file.received.text() == "1-2"
    writer.file.close()


async def test_blocks_that_are_taken_are_durable_together_and_a_known_one_is_so_at_once(tmp_path: Path) -> None:
    writer = BlockWriter(BlockFile.open(tmp_path / "file", SIZE, BLOCK))
    taken = [writer.take(index, block(index)) for index in (1, 2, 2)]
    assert taken[1] is taken[2]
    assert writer.file.received.text() == ""

    await asyncio.gather(*(durable for durable in taken if durable is not None))

    assert writer.file.received.text() == "1-2"
    again = writer.take(1, block(2))
    assert again is not None
    assert again.done()
    with pytest.raises(Invalid):
        writer.take(COUNT + 1, b"")
    await writer.settle()
    assert writer.file.read(1) == block(1)
    writer.file.close()


async def test_no_more_is_taken_than_may_wait_in_memory(tmp_path: Path) -> None:
    size = TAKEN_BYTES // 2
    writer = BlockWriter(BlockFile.open(tmp_path / "file", 3 * size, size))

    taken = [writer.take(index, bytes(size)) for index in (1, 2, 3)]

    assert [durable is not None for durable in taken] == [True, True, False]
    await writer.settle()
    assert writer.file.received.text() == "1-2"
    writer.file.close()
