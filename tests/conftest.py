"""What every test shares.

Async tests and fixtures need no mark: anyio runs them on asyncio. Property tests have two profiles: ``quick``,
repeatable, is what ``make test`` uses; ``fuzz`` searches for longer, and other examples each time (``make fuzz``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.databases import MariaDbServer, running_mariadb
from tests.support.machine import left_untested
from tests.support.matrix_table import MATRICES

settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("fuzz", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")

# Plain lines: the coloured ones, with the values of all variables beside a trace, take seconds each.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)


SLOW_FIRST = ("faults", "contract", "e2e", "integration", "security", "whitelist")
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose tests take longest, so that no worker is left alone with them at the end."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        return SLOW_FIRST.index(folder) if folder in SLOW_FIRST else len(SLOW_FIRST)

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what must be read after everything else: what this machine left untested, the matrices of `make faults`."""
    skips = [report.longrepr[-1] for report in terminalreporter.getreports("skipped") if report.longrepr]
    if lines := left_untested(skips):
        terminalreporter.write_sep("!", "NOT TESTED ON THIS MACHINE", red=True, bold=True)
        for line in lines:
            terminalreporter.write_line(line, red=True)
    for matrix in config.stash.get(MATRICES, []):
        terminalreporter.write_sep("=", "places of loss")
        terminalreporter.write_line(matrix)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that the programs use."""
    return "asyncio"


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """A private MariaDB server, started when the first test asks for it."""
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of an empty database for the tests of a module, which run once on SQLite and once on MariaDB."""
    return new_database(request, tmp_path_factory, request.param)


@pytest.fixture(params=["sqlite", "mariadb"])
def fresh_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of an empty database for one test alone."""
    return new_database(request, tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def mariadb_url(mariadb_server: MariaDbServer) -> str:
    """URL of an empty schema on MariaDB, for what SQLite does not have: users and passwords."""
    return mariadb_server.new_schema()


def new_database(request: pytest.FixtureRequest, folders: pytest.TempPathFactory, engine: str) -> str:
    """Make an empty database; MariaDB is only started where it is asked for."""
    if engine == "sqlite":
        return f"sqlite:///{folders.mktemp('sqlite')}/test.db"
    server: MariaDbServer = request.getfixturevalue("mariadb_server")
    return server.new_schema()
