"""Ends are found by reading: decorators, tables, marks of tests."""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.ends import Place, Proof, find_ends, find_uses, unknown_ids

SOURCE = """
from sota.boundaries.binding.decorators import calls, holds, serves, serves_service


class Vehicles:
    @serves("WL-B1-22", "WL-B1-23")
    async def search(self, call):
        ...

    @serves_service("WL-B7-3", "cancel")
    async def cancel(self, message):
        ...


@calls("WL-B2-4")
async def queue():
    ...


VEHICLE = Table("vehicle", metadata, info=holds("WL-B4-1"))
"""

TESTS = """
import pytest


@pytest.mark.whitelist("WL-B2-4", "queued")
def test_queued():
    ...


class TestMore:
    @pytest.mark.parametrize("x", [1])
    @pytest.mark.whitelist("WL-B2-4", "package_missing", "filters_missing")
    async def test_refused(self, x):
        ...


@pytest.mark.parametrize("y", [pytest.param(1, marks=pytest.mark.whitelist("WL-B1-1"))])
def test_parametrised(y):
    ...
"""


def make_checkout(root: Path) -> Path:
    package = root / "src" / "sota"
    package.mkdir(parents=True)
    (package / "program.py").write_text(SOURCE)
    (root / "tests").mkdir()
    (root / "tests" / "test_it.py").write_text(TESTS)
    return package


def test_both_ends_and_tests_are_found(tmp_path: Path) -> None:
    ends = find_ends(make_checkout(tmp_path))
    assert ends["WL-B1-22"].handlers == ends["WL-B1-23"].handlers == [Place("src/sota/program.py", 7, "search")]
    assert ends["WL-B7-3"].handlers == [Place("src/sota/program.py", 11, "cancel")]
    assert ends["WL-B2-4"].callers == [Place("src/sota/program.py", 16, "queue")]
    assert ends["WL-B4-1"].handlers == [Place("src/sota/program.py", 20, "VEHICLE")]
    assert ends["WL-B2-4"].proofs == [
        Proof("tests/test_it.py::test_queued", ("queued",)),
        Proof("tests/test_it.py::TestMore::test_refused", ("package_missing", "filters_missing")),
    ]
    assert ends["WL-B1-1"].proofs == [Proof("tests/test_it.py::test_parametrised", ())]


def test_end_of_a_row_that_is_not_in_the_table_is_told(tmp_path: Path) -> None:
    known = dict.fromkeys(("WL-B1-22", "WL-B1-23", "WL-B7-3", "WL-B4-1", "WL-B1-1"))
    assert unknown_ids(known, make_checkout(tmp_path)) == [
        "WL-B2-4 at src/sota/program.py:16",
        "WL-B2-4 at tests/test_it.py::test_queued",
        "WL-B2-4 at tests/test_it.py::TestMore::test_refused",
    ]


def test_the_ends_of_one_row_are_those_that_are_found_among_all(tmp_path: Path) -> None:
    package = make_checkout(tmp_path)
    every = find_ends(package)
    for row_id, ends in every.items():
        assert find_ends(package, row_id) == {row_id: ends}
    assert find_ends(package, "WL-B9-99") == {}


def test_the_program_that_calls_is_named(tmp_path: Path) -> None:
    package = make_checkout(tmp_path)
    (package / "core").mkdir()
    (package / "core" / "sending.py").write_text("async def send(client):\n    await client.queue()\n    queue()\n")
    callers = find_ends(package, "WL-B2-4")["WL-B2-4"].callers
    assert find_uses(callers, "core", package) == [Place("src/sota/core/sending.py", 2, "send")]
    assert find_uses(callers, "web", package) == []


def test_a_block_is_sent_by_core() -> None:
    uses = find_uses(find_ends(row="WL-B7-5")["WL-B7-5"].callers, "core")
    assert {place.file.removeprefix("src/sota/core/").partition("/")[0] for place in uses} == {"transfers"}
