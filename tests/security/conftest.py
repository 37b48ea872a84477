"""The backend that the attacks share; and how many cases of the API document were tried out, over all workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.backend import Backend, running_backend


@pytest.fixture(scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    """The three real programs on SQLite, for the attacks of one module."""
    folder = tmp_path_factory.mktemp("attacked")
    databases = [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    async with running_backend(folder, databases) as running:
        yield running


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    counts = [
        value
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "api_cases" and isinstance(value, int)
    ]
    if counts:
        terminalreporter.write_line(f"API document: {sum(counts)} cases tried out")
