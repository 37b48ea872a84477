"""B6, External Resolver to its database: every typed result, its literal text in the log, and rejected credentials."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from sota.boundaries.b3_web_resolver.messages import Filter, PackageToResolve
from sota.kit.errors import StartError
from sota.resolver.dependencies import store as dependencies
from sota.resolver.dependencies.model import Minimum, Package
from sota.resolver.facts import store as facts
from sota.resolver.filters import store as filters
from sota.resolver.register import store as register
from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver, running_resolver

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.whitelist("WL-B6-1", "success")
async def test_new_vin_is_a_success(resolver: RunningResolver) -> None:
    result = await resolver.db.transact(lambda tx: register.insert_vehicle(tx, new_vin(), NOW))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B6-1", "exists")
async def test_vin_that_exists_is_told(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle()
    result = await resolver.db.transact(lambda tx: register.insert_vehicle(tx, vin, NOW))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B6-2", "success")
async def test_new_package_is_a_success(resolver: RunningResolver) -> None:
    package = PackageToResolve(name=new_name("ivi"), version="1.0.0")
    result = await resolver.db.transact(lambda tx: register.insert_package(tx, package, NOW))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B6-2", "exists")
async def test_package_that_exists_is_told(resolver: RunningResolver) -> None:
    package = PackageToResolve(name=new_name("ivi"), version="1.0.0")
    await resolver.add_package(package.name, package.version)
    result = await resolver.db.transact(lambda tx: register.insert_package(tx, package, NOW))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B6-3", "success")
async def test_new_filter_is_a_success(resolver: RunningResolver) -> None:
    result = await resolver.db.transact(lambda tx: filters.insert_filter(tx, new_name("filter"), "TRUE", NOW))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B6-3", "exists")
async def test_filter_that_exists_is_told(resolver: RunningResolver) -> None:
    label = await resolver.add_filter("TRUE")
    result = await resolver.db.transact(lambda tx: filters.insert_filter(tx, label, "TRUE", NOW))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B6-4", "success")
async def test_new_association_is_a_success(resolver: RunningResolver) -> None:
    package, label = new_name("ivi"), await resolver.add_filter("TRUE")
    await resolver.add_package(package, "1.0.0")
    result = await resolver.db.transact(lambda tx: filters.insert_association(tx, package, "1.0.0", label))
    assert result.text == "Success"


@pytest.mark.whitelist("WL-B6-4", "exists")
async def test_association_that_exists_is_told(resolver: RunningResolver) -> None:
    package, label = new_name("ivi"), await resolver.add_filter("TRUE")
    await resolver.add_package(package, "1.0.0")
    await resolver.attach(package, "1.0.0", label)
    result = await resolver.db.transact(lambda tx: filters.insert_association(tx, package, "1.0.0", label))
    assert result.text == "Record exists"


@pytest.mark.whitelist("WL-B6-4", "filter_missing")
async def test_association_with_an_unknown_filter_is_told(resolver: RunningResolver) -> None:
    package = new_name("ivi")
    await resolver.add_package(package, "1.0.0")
    result = await resolver.db.transact(lambda tx: filters.insert_association(tx, package, "1.0.0", "nowhere"))
    assert result.text == "Filter does not exist"


@pytest.mark.whitelist("WL-B6-4", "package_missing")
async def test_association_with_an_unknown_package_is_told(resolver: RunningResolver) -> None:
    label = await resolver.add_filter("TRUE")
    result = await resolver.db.transact(lambda tx: filters.insert_association(tx, "nowhere", "1.0.0", label))
    assert result.text == "Package does not exist"


@pytest.mark.whitelist("WL-B6-5", "found")
async def test_filters_of_a_package_are_found(resolver: RunningResolver) -> None:
    package, label = new_name("ivi"), await resolver.add_filter("FALSE")
    await resolver.add_package(package, "1.0.0")
    await resolver.attach(package, "1.0.0", label)
    async with resolver.db.read() as tx:
        result = await filters.find_package_filters(tx, package, "1.0.0")
    assert (result.outcome, result.data) == ("found", [Filter(name=label, expression="FALSE")])


@pytest.mark.whitelist("WL-B6-5", "missing")
async def test_filters_of_a_package_without_any_are_missing(resolver: RunningResolver) -> None:
    async with resolver.db.read() as tx:
        result = await filters.find_package_filters(tx, "nowhere", "1.0.0")
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


@pytest.mark.whitelist("WL-B6-6", "found")
async def test_vin_is_found(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle()
    async with resolver.db.read() as tx:
        result = await register.find_vehicle(tx, vin)
    assert result.outcome == "found"
    assert result.data is not None
    assert result.data.vin == vin


@pytest.mark.whitelist("WL-B6-6", "missing")
async def test_unknown_vin_is_missing(resolver: RunningResolver) -> None:
    async with resolver.db.read() as tx:
        result = await register.find_vehicle(tx, new_vin())
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


@pytest.mark.whitelist("WL-B6-7", "found")
async def test_dependencies_of_a_vin_are_found(resolver: RunningResolver) -> None:
    ivi, library = Package(new_name("ivi"), "2.0.0"), Package(new_name("libtls"), "1.4.0")
    await resolver.add_package(ivi.name, ivi.version, (library.name, "1.2.0"))
    vin = await resolver.add_vehicle(packages=[ivi, library])
    async with resolver.db.read() as tx:
        result = await dependencies.find_vehicle_dependencies(tx, vin)
    expected = dependencies.VehicleDependencies(frozenset({ivi, library}), {ivi: (Minimum(library.name, "1.2.0"),)})
    assert (result.outcome, result.data) == ("found", expected)


@pytest.mark.whitelist("WL-B6-7", "missing")
async def test_dependencies_of_an_unknown_vin_are_missing(resolver: RunningResolver) -> None:
    async with resolver.db.read() as tx:
        result = await dependencies.find_vehicle_dependencies(tx, new_vin())
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


@pytest.mark.whitelist("WL-B6-8", "found")
async def test_filters_are_found_by_their_names(resolver: RunningResolver) -> None:
    first, second = await resolver.add_filter("TRUE"), await resolver.add_filter("FALSE")
    async with resolver.db.read() as tx:
        result = await filters.find_filters(tx, [second, first, "nowhere"])
    assert result.outcome == "found"
    assert {(one.name, one.expression) for one in result.data or ()} == {(first, "TRUE"), (second, "FALSE")}


@pytest.mark.whitelist("WL-B6-8", "missing")
async def test_unknown_filters_are_missing(resolver: RunningResolver) -> None:
    async with resolver.db.read() as tx:
        result = await filters.find_filters(tx, ["nowhere"])
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


@pytest.mark.whitelist("WL-B6-9", "updated")
async def test_updated_filters_are_counted_also_where_nothing_changes(resolver: RunningResolver) -> None:
    first, second = await resolver.add_filter("TRUE"), await resolver.add_filter("TRUE")
    changes = {first: "FALSE", second: "TRUE", "nowhere": "TRUE"}
    result = await resolver.db.transact(lambda tx: filters.update_filters(tx, changes))
    assert (result.outcome, result.data) == ("updated", 2)


@pytest.mark.whitelist("WL-B6-9", "missing")
async def test_update_of_unknown_filters_is_missing(resolver: RunningResolver) -> None:
    result = await resolver.db.transact(lambda tx: filters.update_filters(tx, {"nowhere": "TRUE"}))
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


@pytest.mark.whitelist("WL-B6-10", "deleted")
async def test_deleted_filters_are_counted(resolver: RunningResolver) -> None:
    labels = [await resolver.add_filter("TRUE") for _ in range(3)]
    result = await resolver.db.transact(lambda tx: filters.delete_filters(tx, [*labels, "nowhere"]))
    assert (result.outcome, result.data) == ("deleted", 3)


@pytest.mark.whitelist("WL-B6-10", "missing")
async def test_delete_of_unknown_filters_is_missing(resolver: RunningResolver) -> None:
    result = await resolver.db.transact(lambda tx: filters.delete_filters(tx, ["nowhere"]))
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


@pytest.mark.whitelist("WL-B6-11", "changed")
async def test_packages_of_a_vin_are_changed(resolver: RunningResolver) -> None:
    before, after = Package(new_name("ivi"), "1.0.0"), Package(new_name("ivi"), "2.0.0")
    vin = await resolver.add_vehicle(packages=[before])
    result = await resolver.db.transact(lambda tx: facts.change_packages(tx, vin, [after]))
    assert (result.outcome, result.data) == ("changed", frozenset({after}))
    async with resolver.db.read() as tx:
        found = await dependencies.find_vehicle_dependencies(tx, vin)
    assert found.data is not None
    assert found.data.installed == {after}


@pytest.mark.whitelist("WL-B6-11", "missing")
async def test_packages_of_an_unknown_vin_are_missing(resolver: RunningResolver) -> None:
    result = await resolver.db.transact(lambda tx: facts.change_packages(tx, new_vin(), []))
    assert (result.outcome, result.text) == ("missing", "Record does not exists")


async def test_results_appear_in_the_log_by_their_literal_texts(resolver: RunningResolver) -> None:
    vin = await resolver.add_vehicle()
    with structlog.testing.capture_logs() as events:
        await resolver.db.transact(lambda tx: register.insert_vehicle(tx, vin, NOW))
    assert {"interaction": "WL-B6-1", "outcome": "exists", "text": "Record exists"}.items() <= events[-1].items()


@pytest.mark.whitelist("WL-B6-1", "rejected")
@pytest.mark.whitelist("WL-B6-2", "rejected")
@pytest.mark.whitelist("WL-B6-3", "rejected")
@pytest.mark.whitelist("WL-B6-4", "rejected")
@pytest.mark.whitelist("WL-B6-5", "rejected")
@pytest.mark.whitelist("WL-B6-6", "rejected")
@pytest.mark.whitelist("WL-B6-7", "rejected")
@pytest.mark.whitelist("WL-B6-8", "rejected")
@pytest.mark.whitelist("WL-B6-9", "rejected")
@pytest.mark.whitelist("WL-B6-10", "rejected")
@pytest.mark.whitelist("WL-B6-11", "rejected")
@pytest.mark.parametrize("engine", ["mariadb"])
async def test_wrong_credentials_stop_the_program_with_one_clear_line(
    engine: str, mariadb_url: str, tmp_path: Path
) -> None:
    wrong = re.sub(r":[^:@/]+@", ":wrong@", mariadb_url)
    with pytest.raises(StartError) as caught:
        async with running_resolver(wrong, tmp_path):
            pass
    assert "rejects the connection: wrong user, password or schema (1045)" in caught.value.detail
    assert "\n" not in caught.value.detail
    assert caught.value.exit_code == 2
    assert "wrong@" not in caught.value.detail
