"""A pytest plugin that writes down what became of each test that proves an outcome of the whitelist.

``python -m tests.conformance`` loads it (``-p tests.support.conformance_plugin``). The marks travel in a test's
``user_properties``, which reach the controlling process also where the tests run in several workers (xdist).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

KEY = "whitelist"
ENGINE = re.compile(r"\b(sqlite|mariadb)\b")


def engine_of(node_id: str) -> str | None:
    """Read the database engine from the id of a parametrised test; None where it has none."""
    _, bracket, parameters = node_id.partition("[")
    found = ENGINE.search(parameters) if bracket else None
    return found[1] if found else None


class Recorder:
    """Collects one record a test: id, engine, what it proves, and whether it passed."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._records: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("whitelist"):
                item.user_properties.append((KEY, [str(argument) for argument in mark.args]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        marks = [list(value) for key, value in report.user_properties if key == KEY and isinstance(value, list | tuple)]
        if not marks:
            return
        record = self._records.setdefault(
            report.nodeid,
            {"test": report.nodeid, "engine": engine_of(report.nodeid), "marks": marks, "result": "passed"},
        )
        # A test has passed when all three of its phases did; a skip proves nothing.
        if report.outcome == "failed" or (report.outcome == "skipped" and record["result"] == "passed"):
            record["result"] = report.outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):
            self._target.write_text(json.dumps(list(self._records.values())))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance-records", type=Path, help="Where to write what became of the whitelist's tests.")


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption("--conformance-records")
    if target is not None:
        config.pluginmanager.register(Recorder(target), "conformance-recorder")
