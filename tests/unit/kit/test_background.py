"""Background tasks are begun again after each failure, and say that they fail."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator

import pytest
import structlog

from sota.kit.errors import Refused, Unavailable
from sota.kit.runtime.background import Background, on_fatal
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    background = Background(first_pause_s=0.01)
    yield background
    await background.stop()


class Worker:
    """Fails a few times, then works."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.works = list(failures), asyncio.Event()

    async def run(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.works.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("the database is away"),
        Refused("refused"),
        OSError(28, "No space left on device"),
        sqlite3.DatabaseError("malformed"),
        KeyError("a fault of ours"),
        ExceptionGroup("of a group", [ValueError("one row")]),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_task_is_begun_again_after_any_failure(background: Background, failure: Exception) -> None:
    died: list[str] = []
    on_fatal.append(died.append)
    worker = Worker(failure, failure, failure)
    with structlog.testing.capture_logs() as logs:
        background.keep("worker", worker.run)
        async with asyncio.timeout(10):
            await worker.works.wait()
    on_fatal.remove(died.append)
    assert died == []
    assert [entry["event"] for entry in logs] == ["background_task_failed"] * 3
    pauses = [entry["again_in_s"] for entry in logs]
    assert pauses == sorted(pauses)


async def test_task_that_fails_is_named_until_it_works(background: Background) -> None:
    background.keep("whole", Worker().run)
    assert background.trouble() is None
    background.keep("broken", Worker(Unavailable("the disk is full")).run)

    async def is_named() -> bool:
        return background.trouble() == "broken fails: the disk is full"

    await until(is_named, "the task is named")

    async def is_over() -> bool:
        return background.trouble() is None

    await until(is_over, "it works again")


async def test_task_that_cannot_be_begun_again_ends_the_program(background: Background) -> None:
    died: list[str] = []
    on_fatal.append(died.append)
    background.start("once", Worker(ValueError("odd")).run())

    async def is_heard() -> bool:
        return died == ["once died: odd"]

    await until(is_heard, "its death is heard of")
    on_fatal.remove(died.append)


async def test_tasks_end_with_the_program_also_in_a_pause() -> None:
    background = Background(first_pause_s=60)
    task = background.keep("worker", Worker(Unavailable("away")).run)

    async def is_pausing() -> bool:
        return background.trouble() is not None

    await until(is_pausing, "it waits")
    await background.stop()
    assert task.cancelled()
