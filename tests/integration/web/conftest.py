"""The operator at a terminal that the tests of ``sota ctl`` share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sota.boundaries.interaction import Role
from sota.web.accounts.service import issue_token
from tests.support.backend import running_backend
from tests.support.operator import Operator


@pytest.fixture(scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    """An admin at a terminal, and the three real programs on SQLite, for one module."""
    folder = tmp_path_factory.mktemp("backend")
    databases = [f"sqlite:///{folder / f'{name}.db'}" for name in ("core", "resolver", "web")]
    async with running_backend(folder, databases) as backend:
        token = await issue_token(backend.web.db, Role.ADMIN, "ctl")
        yield Operator(backend, tmp_path_factory.mktemp("home"), token)
