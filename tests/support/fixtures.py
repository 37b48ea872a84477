"""Fixtures that the whitelist's and the integration tests share: their ``conftest.py`` import them.

A module or folder may define one of the same name for itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import debs
from tests.support.core import RunningCore, running_core
from tests.support.resolver import RunningResolver, running_resolver
from tests.support.rvi import Identities, RecordingService
from tests.support.vehicle import Offer, Vehicle, running_vehicle


@pytest.fixture(scope="module")
async def core(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    """SOTA Core with the Resolver and a node that the test plays: once on SQLite and once on MariaDB."""
    async with running_core(database_url, tmp_path_factory.mktemp("core")) as running:
        yield running


@pytest.fixture(scope="module")
async def resolver(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningResolver]:
    """The External Resolver: once on SQLite and once on MariaDB."""
    async with running_resolver(database_url, tmp_path_factory.mktemp("resolver")) as running:
        yield running


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    """The SOTA Client and the Software Loading Manager behind a node that the test plays."""
    async with running_vehicle(tmp_path) as running:
        yield running


@pytest.fixture
def ivi(vehicle: Vehicle, tmp_path: Path) -> Offer:
    """A package of four blocks."""
    return offer_ivi(vehicle, tmp_path)


def offer_ivi(vehicle: Vehicle, folder: Path) -> Offer:
    """Offer a vehicle a package of four blocks."""
    return vehicle.offer(1, "ivi", "1.0.0", debs.build(folder, "ivi", "1.0.0", payload_bytes=200_000))


def stored(vehicle: Vehicle) -> list[Path]:
    """List the files of blocks that the SOTA Client keeps."""
    return list((vehicle.client_settings.data / "blocks").iterdir())


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    """Identities of nodes: making keys takes time."""
    return Identities(tmp_path_factory.mktemp("identities"))


@pytest.fixture
async def service() -> AsyncIterator[RecordingService]:
    """A service that records its messages."""
    service = await RecordingService().start()
    yield service
    await service.stop()


@pytest.fixture
async def other_service() -> AsyncIterator[RecordingService]:
    """Another service that records its messages."""
    service = await RecordingService().start()
    yield service
    await service.stop()
