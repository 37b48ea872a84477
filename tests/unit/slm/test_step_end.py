"""A step has ended when none of its processes works any more; what a daemon of it still writes is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sota.slm import step_output
from sota.slm.step_runner import StepRunner
from tests.support.waiting import until

ENVIRONMENT = {"PATH": os.environ["PATH"]}
ADOPTING = """if True:
    import subprocess, sys, time
    from sota.slm.step_processes import adopt_orphans
    adopt_orphans()
    subprocess.run(["sh", "-c", "(setsid env -i $1 &)", "sh", sys.argv[1]])
    time.sleep(600)
"""
WAYS = {
    "in its session": '"$1" & wait',
    "in a session of its own": 'setsid "$1" & wait',
    "without its environment": 'env -i "$1" & wait',
    "in a session of its own without its environment": 'setsid env -i "$1" & wait',
    "without its parent": f"exec {sys.executable} -c '{ADOPTING}' \"$1\"",
    "as its only process": 'exec "$1"',
    "without its shell": 'kill -9 $PPID; exec "$1"',
}


@pytest.fixture
def stubborn(tmp_path: Path, pid_file: Path) -> str:
    """A program that cannot be asked to end, and says its id in ``pid_file``."""
    program = tmp_path / "stubborn"
    program.write_text(f"#!/bin/sh\ntrap '' TERM\necho $$ > {pid_file}\nexec /usr/bin/env sleep 600\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pid"
    if (tmp_path / "pid").exists() and lives(pid := int((tmp_path / "pid").read_text())):
        os.kill(pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


@pytest.mark.parametrize("way", WAYS)
async def test_step_over_its_time_has_ended_when_nothing_of_it_lives(
    way: str, tmp_path: Path, stubborn: str, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sota.slm.step_runner.GRACE_S", 0.3)
    runner = StepRunner(tmp_path / "steps", timeout_s=0.5, output_limit=1_000)
    runner.start("1-1", ["sh", "-c", WAYS[way], "sh", stubborn], ENVIRONMENT)

    ended = await runner.wait("1-1")

    assert ended.exit_code not in {0, None}
    assert not lives(id_in(pid_file))


async def test_step_whose_shell_was_killed_has_ended_when_its_work_has(tmp_path: Path) -> None:
    runner = StepRunner(tmp_path / "steps", timeout_s=60.0, output_limit=1_000)
    work = f"kill -9 $PPID; for i in 1 2 3 4 5; do sleep 0.1; done; echo done > {tmp_path / 'work'}"
    runner.start("1-1", ["sh", "-c", work], ENVIRONMENT)

    ended = await runner.wait("1-1")

    assert ended.exit_code is None
    assert (tmp_path / "work").exists()


async def test_what_a_daemon_still_writes_does_not_fill_the_disk(tmp_path: Path, pid_file: Path) -> None:
    runner = StepRunner(tmp_path / "steps", timeout_s=60.0, output_limit=1_000)
    daemon = f"echo $$ > {pid_file}; while sleep 0.01; do echo more; done"
    step = f"setsid sh -c '{daemon}' & while ! test -s {pid_file}; do sleep 0.01; done"
    runner.start("1-1", ["sh", "-c", step], ENVIRONMENT)
    await runner.wait("1-1")
    pid = id_in(pid_file)

    runner.forget("1-1")

    written = output_of(pid)
    assert written.exists(), f"it goes on to write to {written}"
    await until(lambda: is_written(written), "the daemon writes")
    assert step_output.tend_left(written.parent)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: is_true(not step_output.tend_left(written.parent)), "the file is removed")
    assert list(written.parent.iterdir()) == []


async def test_what_ended_steps_left_is_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "steps"
    before = StepRunner(folder, timeout_s=60.0, output_limit=1_000)
    for key, script in (("1-1", "echo ended"), ("1-2", "echo opened"), ("2-1", "sleep 600")):
        before.start(key, ["sh", "-c", script], ENVIRONMENT)
    for key in ("1-1", "1-2"):
        await before.wait(key)
    (folder / "1-1.exit.new").write_text("0")

    after = StepRunner(folder, timeout_s=0.1, output_limit=1_000)
    after.clear({"1-2"})

    assert {path.name.partition(".")[0] for path in folder.iterdir()} == {"1-2", "2-1"}
    assert (await after.wait("1-2")).output == "opened"
    await after.wait("2-1")


def id_in(file: Path) -> int:
    return int(file.read_text())


def output_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/fd/1").readlink()


async def is_written(file: Path) -> bool:
    return (await asyncio.to_thread(file.stat)).st_size > 0


async def is_true(value: bool) -> bool:
    return value
