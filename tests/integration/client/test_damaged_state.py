"""A vehicle with files damaged by a bad disk works on: it reports its packages to Core, and can be updated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.kit.files.set_aside import find_set_aside
from tests.support import debs
from tests.support.vehicle import Offer, PlayedCore, Vehicle, begin, notify, running_vehicle
from tests.support.waiting import until

DAMAGE = b"not what was written here" * 4096


@pytest.fixture
async def vehicle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vehicle]:
    monkeypatch.setattr("sota.client.downloads.OFFERS_CHECK_S", 0.2)
    async with running_vehicle(tmp_path) as running:
        yield running


@pytest.fixture
def ivi(vehicle: Vehicle, tmp_path: Path) -> Offer:
    """A package whose script counts its runs, and waits as long as there is a file ``wait``."""
    script = 'echo x >> "$DPKG_ROOT/count"\nwhile [ -e "$DPKG_ROOT/wait" ]; do sleep 0.05; done'
    file = debs.build(tmp_path, "ivi", "1.0.0", postinst=script, payload_bytes=200_000)
    return vehicle.offer(1, "ivi", "1.0.0", file)


async def exists(file: Path) -> bool:
    return await asyncio.to_thread(file.exists)


async def test_a_client_with_a_damaged_state_tells_core_what_is_installed(vehicle: Vehicle, ivi: Offer) -> None:
    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.tell("notify", notify(ivi))
    await core.run_until_reported(1)
    await vehicle.stop_client()
    (vehicle.client_settings.data / "client.db").write_bytes(DAMAGE)
    vehicle.node.drain()

    await vehicle.start_client()

    told = await vehicle.node.heard("packages")
    assert told["packages"] == [{"name": "ivi", "version": "1.0.0"}]
    [kept] = find_set_aside(vehicle.client_settings.data / "client.db")
    assert kept.read_bytes() == DAMAGE


async def test_a_client_whose_state_is_damaged_in_the_middle_takes_the_update_again(
    vehicle: Vehicle, ivi: Offer
) -> None:
    await begin(vehicle, ivi, 1)
    assert vehicle.client is not None
    database = vehicle.client._state.database
    await database.transact(lambda tx: tx.execute("UPDATE download SET state = 'nonsense'"))
    update = notify(ivi)
    assert (await vehicle.node.tell("finish", ivi.named))[0] != 200
    assert (await vehicle.node.heard("packages"))["packages"] == []

    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.tell("notify", update)
    await core.run_until_reported(1)

    assert core.reports[1]["status"] == "installed"
    assert 1 not in [number for _, number in core.blocks_sent]  # it was found on disk
    assert await vehicle.client.trouble() is None


async def test_a_lost_journal_leaves_the_word_to_the_package_database(vehicle: Vehicle, ivi: Offer) -> None:
    root = vehicle.root
    root.mkdir(parents=True, exist_ok=True)
    (root / "wait").touch()
    await begin(vehicle, ivi, 1, 2, 3, 4)
    await vehicle.node.tell("finish", ivi.named)
    await until(lambda: exists(root / "count"), "the package's script runs")
    await vehicle.stop_slm()
    (vehicle.slm_settings.data / "slm.db").write_bytes(DAMAGE)
    vehicle.node.drain()

    await vehicle.start_slm()
    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.heard("start")  # the update was offered again, and is asked for
    await vehicle.node.tell("start", ivi.start())
    (root / "wait").unlink()
    await core.run_until_reported(1)

    assert core.reports[1]["status"] == "installed"
    assert debs.installed(root) == {"ivi": "1.0.0"}
    assert (root / "count").read_text() == "x\n"
    assert any(service == "packages" for service, _ in vehicle.node.seen)
    assert len(find_set_aside(vehicle.slm_settings.data / "slm.db")) == 1


async def test_a_journal_damaged_during_an_installation_does_not_end_the_loading_manager(
    vehicle: Vehicle, ivi: Offer
) -> None:
    root = vehicle.root
    root.mkdir(parents=True, exist_ok=True)
    (root / "wait").touch()
    await begin(vehicle, ivi, 1, 2, 3, 4)
    await vehicle.node.tell("finish", ivi.named)
    await until(lambda: exists(root / "count"), "the package's script runs")
    assert vehicle.slm is not None
    database = vehicle.slm._journal.database
    await database.transact(lambda tx: tx.execute("UPDATE accepted_download SET state = 'nonsense'"))
    vehicle.node.drain()
    status = (await vehicle.call_slm("DELETE", "/v1/downloads/1")).status
    assert status == 503

    (root / "wait").unlink()
    core = PlayedCore(vehicle.node, ivi)
    await core.run_until_reported(1)

    assert core.reports[1]["status"] == "installed"
    assert (root / "count").read_text() == "x\n"
    assert await vehicle.slm.trouble() is None
