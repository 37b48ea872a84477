"""A pytest plugin that looks for tests which catch a wrong table.

* ``SOTA_MUTANTS=1/2``: instead of running each test once, goes through that part of all mutants (``mutants.py``) and
  runs the tests of the changed row until one fails. A mutant counts as caught only if that test passes again without
  it; a test that cannot be repeated on the same programs is tried on new ones. What became of each mutant is written
  as JSON to the file that ``SOTA_MUTANTS_RESULT`` names.
* ``SOTA_MUTANT=WL-B1-4:vin_exists:status``: an ordinary run with that mutant, to look into one that survived.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.conformance_plugin import engine_of
from tests.support.mutants import Mutant, all_mutants, applied


class Reports:
    """Collects the reports of the test that runs."""

    def __init__(self) -> None:
        self.found: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.found.append(report)


class Hunt:
    """Goes through mutants inside one pytest session, with programs that keep running.

    Tests are run and torn down by pytest's hooks. A test's own module as the next item keeps that module's programs.
    """

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._reports = Reports()
        plugins = session.config.pluginmanager
        plugins.register(self._reports)
        plugins.unregister(name="terminalreporter")  # it would show each failure that a mutant causes
        # The plugin for logs can end a test only once.
        self._tear_down = plugins.subset_hook_caller("pytest_runtest_teardown", [plugins.get_plugin("logging-plugin")])
        self._latest: pytest.Item | None = None
        self._broken: list[str] = []

    def result(self, mutant: Mutant) -> dict[str, Any]:
        """Report which test catches a mutant, how many tests there are, and which fail without it too."""
        self._broken = []
        items = list(self._tests_of(mutant))
        caught = next((item.nodeid for item in items if self._catches(item, mutant)), None)
        return {"mutant": mutant.name, "caught_by": caught, "tests": len(items), "broken": self._broken}

    def _tests_of(self, mutant: Mutant) -> Iterator[pytest.Item]:
        """Yield the tests of the mutant's rows, those of its outcome first; of two engines SQLite, which is quicker."""
        found: dict[pytest.Item, tuple[bool, bool]] = {}
        rows = {row_id for row_id, _ in mutant.places}
        for item in self._session.items:
            marks = [mark.args for mark in item.iter_markers("whitelist") if mark.args[0] in rows]
            if marks:
                names_it = any((args[0], name) in mutant.places for args in marks for name in args[1:])
                found[item] = (not names_it, engine_of(item.nodeid) == "mariadb")
        quick = [item for item, (_, is_slow) in found.items() if not is_slow]
        yield from sorted(quick or found, key=lambda item: found[item])

    def _catches(self, item: pytest.Item, mutant: Mutant) -> bool:
        with applied(mutant):
            failed = not self._passes(item)
        if not failed:
            return False
        if self._passes(item):
            return True
        self.end_programs()
        with applied(mutant):
            failed = not self._passes(item)
        self.end_programs()
        passes = self._passes(item)
        if not passes:
            self._broken.append(item.nodeid)
        return failed and passes

    def _passes(self, item: pytest.Item) -> bool:
        self.end_programs(but_of=item.parent)
        self._reports.found.clear()
        item.ihook.pytest_runtest_protocol(item=item, nextitem=item.parent)
        self._latest = item
        return all(report.passed for report in self._reports.found)

    def end_programs(self, but_of: pytest.Collector | None = None) -> None:
        """End the programs of all modules, or of all but one."""
        if self._latest is not None:
            self._tear_down(item=self._latest, nextitem=but_of)


class Hunter:
    """Takes the place of pytest's own loop."""

    def __init__(self, part: int, parts: int, target: Path) -> None:
        self._part, self._parts, self._target = part, parts, target

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors while collecting")
        hunt = Hunt(session)
        results = []
        for mutant in _share(all_mutants(), self._part, self._parts):
            results.append(hunt.result(mutant))
            print("." if results[-1]["caught_by"] else f"\n{mutant.name} survives", end="", flush=True)
        hunt.end_programs()
        session.testsfailed = 0  # those that caught a mutant
        self._target.write_text(json.dumps(results))
        return True


def _share(mutants: Sequence[Mutant], part: int, parts: int) -> Sequence[Mutant]:
    """Return one of several parts; neighbours stay together, because they need the same programs."""
    ends = [round(len(mutants) * number / parts) for number in range(parts + 1)]
    return mutants[ends[part - 1] : ends[part]]


def pytest_configure(config: pytest.Config) -> None:
    if "SOTA_MUTANT" in os.environ:
        mutant = next(one for one in all_mutants() if one.name == os.environ["SOTA_MUTANT"])
        change = ExitStack()
        change.enter_context(applied(mutant))
        config.add_cleanup(change.close)
    if "SOTA_MUTANTS" in os.environ:
        part, _, parts = os.environ["SOTA_MUTANTS"].partition("/")
        hunter = Hunter(int(part), int(parts), Path(os.environ["SOTA_MUTANTS_RESULT"]))
        config.pluginmanager.register(hunter, "mutant-hunter")
