"""Tells at the end how many cases of the API document were tried out, over all workers."""

from __future__ import annotations

from typing import Any

import pytest


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
