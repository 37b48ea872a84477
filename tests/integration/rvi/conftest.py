"""Identities for all integration tests of the node: making keys takes time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.rvi import Identities, RecordingService


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return Identities(tmp_path_factory.mktemp("identities"))


@pytest.fixture
async def service() -> AsyncIterator[RecordingService]:
    service = await RecordingService().start()
    yield service
    await service.stop()


@pytest.fixture
async def other_service() -> AsyncIterator[RecordingService]:
    service = await RecordingService().start()
    yield service
    await service.stop()
