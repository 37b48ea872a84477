"""Reports at the end of a run how many resolves were compared with the plain loop."""

from __future__ import annotations

import pytest

from tests.unit.resolver.engine_cases import COMPARED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add one line, also where the test ran in another process."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == COMPARED:
                terminalreporter.write_line(f"{value:,} {name}: none differs")
