"""The points at which a test may end a process."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sota.kit.runtime import faults

WRITER = """
import asyncio, sys
from pathlib import Path
from sota.kit.files.durable import write_atomic
from sota.kit.sql.local_database import LocalDatabase

async def main(folder):
    database = LocalDatabase(folder / "x.db", ("CREATE TABLE thing (name TEXT)",))
    await database.open()
    def insert(tx):
        tx.execute("INSERT INTO thing VALUES ('one')")
    await database.transact(insert)
    await database.transact(insert)
    write_atomic(folder / "last", b"done")
    print(await database.read(lambda tx: tx.execute("SELECT COUNT(*) FROM thing").fetchone()[0]))
    await database.close()

asyncio.run(main(Path(sys.argv[1])))
"""
INSERT = "main.insert"


def run(folder: Path, plan: str | None) -> subprocess.CompletedProcess[str]:
    (folder / "faults").mkdir(exist_ok=True)
    if plan is not None:
        (folder / "faults" / "plan").write_text(plan)
    return subprocess.run(
        [sys.executable, "-c", WRITER, str(folder)],
        env={**os.environ, faults.VARIABLE: str(folder / "faults")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_plan_the_steps_are_told_and_nothing_happens(tmp_path: Path) -> None:
    done = run(tmp_path, None)

    assert (done.returncode, done.stdout) == (0, "2\n")
    assert (tmp_path / "faults" / "steps").read_text().split("\n") == [INSERT, INSERT, "write last", ""]


@pytest.mark.parametrize(
    ("plan", "kept"),
    [
        (f"before {INSERT} 1", 2),
        (f"after {INSERT} 1", 3),
        (f"before {INSERT} 2", 3),
        (f"after {INSERT} 2", 4),
    ],
)
def test_a_process_is_killed_where_the_plan_says_and_only_once(tmp_path: Path, plan: str, kept: int) -> None:
    killed = run(tmp_path, plan)

    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "last").exists()
    assert run(tmp_path, None).stdout == f"{kept}\n"


@pytest.mark.parametrize(("side", "there"), [("before", False), ("after", True)])
def test_a_file_is_there_only_after_its_step(tmp_path: Path, side: str, there: bool) -> None:
    assert run(tmp_path, f"{side} write last 1").returncode == -signal.SIGKILL
    assert (tmp_path / "last").exists() == there


def test_a_step_has_the_name_of_the_function_that_does_it() -> None:
    def save(tx: object) -> None: ...

    assert faults.step_of(save).endswith("test_a_step_has_the_name_of_the_function_that_does_it.save")
    assert faults.step_of(functools.partial(save, None)) == faults.step_of(save)
    assert faults.step_of(lambda _tx: save(None)).startswith("test_a_step_has_the_name_of_the_function_that_does_it")


def test_nothing_is_armed_without_the_variable() -> None:
    assert faults.VARIABLE not in os.environ
    assert faults.plan is None
