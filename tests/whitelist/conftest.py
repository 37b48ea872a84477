"""The backend that the tests of B1 and B13 share: once on SQLite and once on MariaDB."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import new_database
from tests.support.backend import Backend, Server, running_backend
from tests.support.fixtures import core, identities, ivi, other_service, resolver, service, vehicle

# Fixtures: pytest finds them by their names here.
__all__ = ["core", "identities", "ivi", "other_service", "resolver", "service", "vehicle"]


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
async def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    """The three programs, running as long as the tests."""
    databases = [new_database(request, tmp_path_factory, request.param) for _ in range(4)]
    async with running_backend(tmp_path_factory.mktemp("backend"), databases[:3]) as running:
        yield running


@pytest.fixture
async def cut_off(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A Web Server that reaches neither Core nor the Resolver."""
    engine = "sqlite" if backend.web.db.is_sqlite else "mariadb"
    nowhere = "http://127.0.0.1:9"
    database = new_database(request, tmp_path_factory, engine)
    async with backend.another(database, core_url=nowhere, resolver_url=nowhere) as server:
        yield server


@pytest.fixture
async def mistrusted(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A Web Server whose own credential Core refuses."""
    engine = "sqlite" if backend.web.db.is_sqlite else "mariadb"
    wrong = tmp_path_factory.mktemp("credentials") / "wrong.token"
    wrong.write_text("a token that was never issued")
    database = new_database(request, tmp_path_factory, engine)
    async with backend.another(database, core_token_file=wrong) as server:
        yield server
