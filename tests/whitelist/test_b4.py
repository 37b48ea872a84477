"""B4, SOTA Core to its database: every typed result with its literal text, and rejected credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from sota.boundaries.b2_web_core.messages import Component
from sota.boundaries.binding.service_credentials import issue
from sota.core.components import store as components
from sota.core.packages import store as packages
from sota.core.packages.model import Package
from sota.core.program import CoreProgram
from sota.core.requests import store as requests
from sota.core.vehicles import store as vehicles
from sota.kit.errors import StartError
from sota.kit.runtime.clock import new_id
from tests.support.core import RunningCore, core_settings
from tests.support.names import new_name, new_vin

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def package(name: str) -> Package:
    return Package(name, "2.1.0", 1, "0" * 64, "0" * 40, "ab/cd", "deb", None, "Maps", "Example", None, NOW)


@pytest.mark.whitelist("WL-B4-1", "success")
async def test_new_vin_is_a_success(core: RunningCore) -> None:
    result = await core.db.transact(lambda tx: vehicles.insert_vehicle(tx, new_vin(), NOW))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B4-1", "exists")
async def test_vin_that_exists_is_told(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    result = await core.db.transact(lambda tx: vehicles.insert_vehicle(tx, vin, NOW))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B4-2", "success")
async def test_new_package_is_a_success(core: RunningCore) -> None:
    result = await core.db.transact(lambda tx: packages.insert_package(tx, package(new_name("ivi"))))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B4-2", "exists")
async def test_package_that_exists_is_told(core: RunningCore) -> None:
    known = package(new_name("ivi"))
    await core.db.transact(lambda tx: packages.insert_package(tx, known))
    result = await core.db.transact(lambda tx: packages.insert_package(tx, known))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B4-3", "found")
async def test_package_is_found_with_its_data(core: RunningCore) -> None:
    known = package(new_name("ivi"))
    await core.db.transact(lambda tx: packages.insert_package(tx, known))
    async with core.db.read() as tx:
        result = await packages.find_package(tx, known.name, "2.1.0")
    assert (result.outcome, result.data) == ("found", known)


@pytest.mark.whitelist("WL-B4-3", "missing")
async def test_package_that_is_missing_is_told(core: RunningCore) -> None:
    async with core.db.read() as tx:
        result = await packages.find_package(tx, "nowhere", "2.1.0")
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-4", "found")
async def test_update_is_found_with_its_data(core: RunningCore) -> None:
    vin, name = await core.add_target()
    told = await core.update_of(await core.queue(name, "2.1.0"))
    async with core.db.read() as tx:
        result = await requests.find_update(tx, UUID(told["update_id"]))
    assert result.outcome == "found"
    assert result.data is not None
    assert (result.data.vin, result.data.package.text, result.data.status) == (vin, f"{name}/2.1.0", "pending")


@pytest.mark.whitelist("WL-B4-4", "missing")
async def test_update_that_is_missing_is_told(core: RunningCore) -> None:
    async with core.db.read() as tx:
        result = await requests.find_update(tx, new_id())
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-5", "found")
async def test_vins_are_found(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    async with core.db.read() as tx:
        result = await vehicles.find_vehicle(tx, vin)
        listed = await vehicles.list_vehicles(tx, None, 10_000)
    assert result.data is not None
    assert (result.outcome, result.data.vin) == ("found", vin)
    assert vin in [vehicle.vin for vehicle in listed.data or []]


@pytest.mark.whitelist("WL-B4-5", "missing")
async def test_vins_that_are_missing_are_told(core: RunningCore) -> None:
    async with core.db.read() as tx:
        result = await vehicles.list_vehicles(tx, "Z" * 17, 10)
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-6", "found")
async def test_packages_of_a_vin_are_found(core: RunningCore) -> None:
    vin = await core.add_vehicle(("ivi", "2.1.0"))
    async with core.db.read() as tx:
        result = await vehicles.find_installed(tx, vin)
    assert (result.outcome, result.data) == ("found", {("ivi", "2.1.0")})


@pytest.mark.whitelist("WL-B4-6", "missing")
async def test_vin_without_packages_is_told(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    async with core.db.read() as tx:
        result = await vehicles.find_installed(tx, vin)
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-7", "changed")
async def test_packages_of_a_vin_are_changed(core: RunningCore) -> None:
    vin = await core.add_vehicle(("ivi", "2.0.0"), ("map", "1.0.0"))
    wanted = {("ivi", "2.1.0"), ("map", "1.0.0")}
    result = await core.db.transact(lambda tx: vehicles.change_installed(tx, vin, wanted, NOW))
    async with core.db.read() as tx:
        after = await vehicles.find_installed(tx, vin)
    assert (result.outcome, after.data) == ("changed", wanted)


@pytest.mark.whitelist("WL-B4-7", "missing")
async def test_packages_of_a_missing_vin_cannot_be_changed(core: RunningCore) -> None:
    result = await core.db.transact(lambda tx: vehicles.change_installed(tx, new_vin(), set(), NOW))
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-8", "found")
async def test_vins_of_a_package_are_found(core: RunningCore) -> None:
    name = new_name("ivi")
    vin = await core.add_vehicle((name, "2.1.0"))
    async with core.db.read() as tx:
        result = await packages.find_vins(tx, name, "2.1.0", None, 10)
    assert (result.outcome, result.data) == ("found", [vin])


@pytest.mark.whitelist("WL-B4-8", "none_installed")
async def test_package_that_no_vin_has_is_told(core: RunningCore) -> None:
    async with core.db.read() as tx:
        result = await packages.find_vins(tx, "nowhere", "2.1.0", None, 10)
    assert result.text == "No VINs have this package installed"


@pytest.mark.whitelist("WL-B4-9", "success")
async def test_new_component_is_a_success(core: RunningCore) -> None:
    new = Component(part_number=new_name("TCU"))
    result = await core.db.transact(lambda tx: components.insert_component(tx, new, NOW))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B4-9", "exists")
async def test_component_that_exists_is_told(core: RunningCore) -> None:
    known = Component(part_number=new_name("TCU"))
    await core.db.transact(lambda tx: components.insert_component(tx, known, NOW))
    result = await core.db.transact(lambda tx: components.insert_component(tx, known, NOW))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B4-10", "found")
async def test_components_are_found_with_their_data(core: RunningCore) -> None:
    known = Component(part_number=new_name("TCU"), name="Telematics", description="LTE")
    await core.db.transact(lambda tx: components.insert_component(tx, known, NOW))
    async with core.db.read() as tx:
        result = await components.find_components(tx, [known.part_number])
    assert (result.outcome, result.data) == ("found", [known])


@pytest.mark.whitelist("WL-B4-10", "missing")
async def test_components_that_are_missing_are_told(core: RunningCore) -> None:
    async with core.db.read() as tx:
        result = await components.find_components(tx, ["nowhere"])
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-11", "found")
async def test_install_request_is_found_with_its_data(core: RunningCore) -> None:
    _, name = await core.add_target()
    request_id = UUID(await core.queue(name, "2.1.0"))
    async with core.db.read() as tx:
        result = await requests.find_request(tx, request_id)
    assert result.outcome == "found"
    assert [request.order.package for request in result.data or []] == [(name, "2.1.0")]


@pytest.mark.whitelist("WL-B4-11", "missing")
async def test_install_request_that_is_missing_is_told(core: RunningCore) -> None:
    async with core.db.read() as tx:
        result = await requests.find_request(tx, new_id())
    assert result.text == "Record does not exists"


@pytest.mark.whitelist("WL-B4-1", "rejected")
@pytest.mark.whitelist("WL-B4-2", "rejected")
@pytest.mark.whitelist("WL-B4-3", "rejected")
@pytest.mark.whitelist("WL-B4-4", "rejected")
@pytest.mark.whitelist("WL-B4-5", "rejected")
@pytest.mark.whitelist("WL-B4-6", "rejected")
@pytest.mark.whitelist("WL-B4-7", "rejected")
@pytest.mark.whitelist("WL-B4-8", "rejected")
@pytest.mark.whitelist("WL-B4-9", "rejected")
@pytest.mark.whitelist("WL-B4-10", "rejected")
@pytest.mark.whitelist("WL-B4-11", "rejected")
async def test_wrong_credentials_stop_the_program_at_its_start(mariadb_url: str, tmp_path: Path) -> None:
    issue(tmp_path / "callers.toml", "Web Server")
    (tmp_path / "resolver.token").write_text("any")
    wrong = mariadb_url.replace("a%20password%20of%20tests", "not-the-password")
    assert wrong != mariadb_url
    program = CoreProgram(core_settings(wrong, tmp_path))
    try:
        with pytest.raises(StartError, match="rejects the connection") as raised:
            await program.start()
    finally:
        await program.stop()
    assert raised.value.exit_code == 2
    assert "not-the-password" not in raised.value.detail
