"""Steps as processes that outlive the program that started them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sota.slm.installers.deb_copy import control_of
from sota.slm.step_output import FILE_LIMIT, printable
from sota.slm.step_runner import StepResult, StepRunner

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def runner(tmp_path: Path) -> StepRunner:
    return StepRunner(tmp_path / "steps", timeout_s=20.0, output_limit=1_000)


def start(runner: StepRunner, script: str) -> None:
    runner.start("1-1", ["sh", "-c", script], ENVIRONMENT)


async def test_exit_code_and_output_are_told(runner: StepRunner) -> None:
    start(runner, "echo out; echo err >&2; exit 7")
    assert await runner.wait("1-1") == StepResult(7, "out\nerr")


async def test_step_is_found_by_another_runner(runner: StepRunner, tmp_path: Path) -> None:
    start(runner, "sleep 0.3; echo done")
    other = StepRunner(tmp_path / "steps", timeout_s=20.0, output_limit=1_000)

    assert other.runs("1-1")
    assert await other.wait("1-1") == StepResult(0, "done")
    assert await runner.wait("1-1") == StepResult(0, "done")


async def test_step_that_was_never_started_has_an_unknown_end(runner: StepRunner) -> None:
    assert await runner.wait("9-9") == StepResult(None, "")


async def test_step_whose_shell_was_killed_has_an_unknown_end(runner: StepRunner, tmp_path: Path) -> None:
    start(runner, "kill -9 $PPID; sleep 0.1")
    assert (await runner.wait("1-1")).exit_code is None


async def test_step_over_its_time_is_ended_with_all_its_children(tmp_path: Path) -> None:
    runner = StepRunner(tmp_path / "steps", timeout_s=0.2, output_limit=1_000)
    start(runner, "sleep 60 & echo begun; wait")

    ended = await runner.wait("1-1")

    assert ended.exit_code not in {0, None}
    # The shell may report its child's end, where that comes first.
    assert ended.output.removeprefix("begun\n").removeprefix("Terminated\n") == "stopped: it took more than 0.2 s"


async def test_daemon_that_a_step_leaves_behind_holds_nothing_up(runner: StepRunner) -> None:
    start(runner, "sleep 5 > /dev/null 2>&1 & exit 0")
    async with asyncio.timeout(3.0):
        assert (await runner.wait("1-1")).exit_code == 0


@pytest.mark.parametrize("size", [5_000, 20_000_000])
async def test_of_a_large_output_beginning_and_end_are_told(runner: StepRunner, tmp_path: Path, size: int) -> None:
    start(runner, f"echo the beginning; head -c {size} /dev/zero | tr '\\0' x; sleep 0.6; echo the end")

    ended = await runner.wait("1-1")

    assert ended.output.startswith("the beginning\nx")
    assert "x\n[…]\nx" in ended.output
    assert ended.output.endswith("xthe end")
    assert len(ended.output) <= 1_010
    assert (tmp_path / "steps" / "1-1.out").stat().st_size < FILE_LIMIT


async def test_step_gets_nothing_that_is_open_for_us(runner: StepRunner, tmp_path: Path) -> None:
    with (tmp_path / "private").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        start(runner, "ls -l /proc/self/fd")
        assert "private" not in (await runner.wait("1-1")).output


async def test_forgotten_step_leaves_no_files(runner: StepRunner, tmp_path: Path) -> None:
    start(runner, "true")
    await runner.wait("1-1")
    runner.forget("1-1")
    assert list((tmp_path / "steps").iterdir()) == []


def test_output_has_no_control_characters() -> None:
    assert printable(b"\x1b[31mred\x1b[0m\r\n\ttab \xff\x00\n") == "[31mred[0m\n\ttab �"


def test_control_file_is_the_database_paragraph_without_its_state() -> None:
    stanza = (
        "Package: ivi\nStatus: install ok installed\nMaintainer: X\nVersion: 1.0.0\n"
        "Conffiles:\n /etc/ivi.conf 0123\n /etc/x 4567\nDescription: two\n lines\n"
    )
    assert control_of(stanza) == "Package: ivi\nMaintainer: X\nVersion: 1.0.0\nDescription: two\n lines\n"
