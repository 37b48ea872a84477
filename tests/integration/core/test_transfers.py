"""Core's engine of transfers, against a played edge: order, intervals, silence, restarts, and who may speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sota.core.program import CoreProgram
from tests.support.core import RunningCore, core_settings, running_core
from tests.support.edge import VehiclePlayer
from tests.support.names import new_name
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[RunningCore]:
    """A Core that soon loses patience."""
    settings = {"ack_timeout_s": 0.2, "attempts": 2, "notify_retry_s": 0.3}
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, **settings) as started:
        yield started


async def package_for(core: RunningCore, vin: str, *needs: tuple[str, str]) -> str:
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", *needs, expression=f'vin_matches "{vin}"')
    return name


async def install(core: RunningCore, vehicle: VehiclePlayer, notified: dict[str, Any]) -> None:
    for entry in notified["downloads"]:
        package = f"{entry['package']['name']}/{entry['package']['version']}"
        await vehicle.download(entry["download_index"], package)
    for entry in notified["downloads"]:
        package = f"{entry['package']['name']}/{entry['package']['version']}"
        await vehicle.report(entry["download_index"], package)


def names(notified: dict[str, Any]) -> list[str]:
    return [entry["package"]["name"] for entry in notified["downloads"]]


async def test_updates_come_one_at_a_time_by_priority_and_then_by_age(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    late, early, urgent = [await package_for(core, vin) for _ in range(3)]
    for name, priority in ((early, 20), (late, 20), (urgent, 1)):
        await core.queue(name, "2.1.0", priority=priority)
    vehicle = VehiclePlayer(core.edge, vin)
    await vehicle.connect()

    heard = []
    for number in range(3):
        notified = (await core.edge.expect(vin, "notify", after=number)).body
        heard += names(notified)
        await install(core, vehicle, notified)

    assert heard == [urgent, early, late]
    assert len(core.edge.to(vin, "notify")) == 3


async def test_prerequisite_comes_before_what_needs_it_under_an_index_of_its_own(core: RunningCore) -> None:
    library = new_name("libmap")
    vin = await core.add_vehicle()
    await core.add_package(library, "1.4.0")
    name = await package_for(core, vin, (library, "1.0.0"))
    vehicle = VehiclePlayer(core.edge, vin)
    await vehicle.connect()
    request_id = await core.queue(name, "2.1.0")

    notified = (await core.edge.expect(vin, "notify")).body
    assert names(notified) == [library, name]
    assert [entry["download_index"] for entry in notified["downloads"]] == [1, 2]
    await vehicle.download(1, f"{library}/1.4.0")
    await vehicle.report(1, f"{library}/1.4.0")
    assert (await core.update_of(request_id))["status"] == "in_flight"
    await vehicle.download(2, f"{name}/2.1.0")
    await vehicle.report(2, f"{name}/2.1.0")

    assert (await core.update_of(request_id))["status"] == "installed"
    assert [package["name"] for package in await core.installed(vin)] == sorted([library, name])


async def test_resolver_hears_what_was_installed(core: RunningCore) -> None:
    offer = await core.offer()
    name = offer.package.partition("/")[0]
    probe = new_name("probe")
    await core.resolver.offer(probe, "1.0.0", f'has_package "^{name}$" "^2"')
    await install(core, offer.vehicle, offer.notified)

    async def look() -> bool:
        return bool((await core.resolver.resolve(probe, "1.0.0")).body)

    await until(look, "the Resolver knows of the installation")


async def test_failed_prerequisite_fails_the_update_and_frees_the_vehicle(core: RunningCore) -> None:
    library = new_name("libmap")
    vin = await core.add_vehicle()
    await core.add_package(library, "1.4.0")
    name = await package_for(core, vin, (library, "1.0.0"))
    vehicle = VehiclePlayer(core.edge, vin)
    await vehicle.connect()
    request_id = await core.queue(name, "2.1.0")
    await core.edge.expect(vin, "notify")

    await vehicle.report(1, f"{library}/1.4.0", "failed", reason="install_failed")
    status, _ = await vehicle.report(2, f"{name}/2.1.0", "failed", reason="dependency")

    assert status == 409
    update = await core.update_of(request_id)
    assert (update["status"], update["reason"]) == ("failed", "install_failed")
    await core.queue(name, "2.1.0")
    await core.edge.expect(vin, "notify", after=1)


async def test_vehicle_keeps_what_it_runs_after_a_rollback(core: RunningCore) -> None:
    offer = await core.offer()
    name = offer.package.partition("/")[0]
    await offer.vehicle.report(offer.index, offer.package, "failed", reason="rolled_back", running_version="1.0.0")
    assert await core.installed(offer.vehicle.vin) == [{"name": name, "version": "1.0.0"}]


async def test_package_that_a_vehicle_cannot_tell_of_stays_known_and_one_that_is_gone_does_not(
    core: RunningCore,
) -> None:
    offer = await core.offer()
    vin, name = offer.vehicle.vin, offer.package.partition("/")[0]
    await offer.vehicle.report(offer.index, offer.package, "failed", reason="rolled_back", running_version="1.0.0")

    await offer.vehicle.report(offer.index, offer.package, "failed", reason="install_failed")
    assert await core.installed(vin) == [{"name": name, "version": "1.0.0"}]

    await offer.vehicle.report(offer.index, offer.package, "failed", reason="declined", running_version=None)
    assert await core.installed(vin) == [{"name": name, "version": "1.0.0"}]

    await offer.vehicle.report(offer.index, offer.package, "failed", reason="install_failed", running_version=None)
    assert await core.installed(vin) == []


async def test_update_is_not_told_before_its_interval(core: RunningCore) -> None:
    vin = await core.add_vehicle()
    name = await package_for(core, vin)
    await VehiclePlayer(core.edge, vin).connect()
    await core.queue(name, "2.1.0", start_s=1.5)
    await core.queue(await package_for(core, vin), "2.1.0", priority=50)
    first = (await core.edge.expect(vin, "notify")).body
    assert names(first) != [name]
    await install(core, VehiclePlayer(core.edge, vin), first)
    assert names((await core.edge.expect(vin, "notify", after=1)).body) == [name]


async def test_update_that_is_not_installed_in_its_interval_expires(core: RunningCore) -> None:
    offer = await core.offer(end_s=2)
    await offer.vehicle.initiate(offer.index)
    update = await offer.wait_for("failed")
    assert update["reason"] == "expired"
    assert (await offer.vehicle.next_message("abort", offer.index))["reason"] == "expired"

    status, _ = await offer.vehicle.report(offer.index, offer.package)

    assert status == 200, "once an installer has run, the vehicle's word decides"
    assert (await offer.update())["status"] == "installed"
    assert [package["version"] for package in await core.installed(offer.vehicle.vin)] == ["2.1.0"]


async def test_update_of_an_absent_vehicle_expires_too(core: RunningCore) -> None:
    _, name = await core.add_target()
    request_id = await core.queue(name, "2.1.0", end_s=1)

    async def look() -> dict[str, Any] | None:
        update = await core.update_of(request_id)
        return update if update["status"] == "failed" else None

    assert (await until(look, "the update expires"))["reason"] == "expired"


async def test_silent_vehicle_is_given_up_and_told(hasty: RunningCore) -> None:
    offer = await hasty.offer()
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "")

    update = await offer.wait_for("failed")

    assert update["reason"] == "unreachable"
    assert (await offer.vehicle.next_message("abort", offer.index))["reason"] == "unreachable"
    assert max(offer.vehicle.sent(offer.index).count(index) for index in (1, 2, 3)) == 2


async def test_vehicle_that_lacks_blocks_at_each_end_is_given_up_with_another_reason(tmp_path: Path) -> None:
    settings = {"attempts": 2, "tries": 1, "ack_timeout_s": 60.0}
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, **settings) as core:
        offer = await core.offer(blocks=2)
        await offer.vehicle.initiate(offer.index)
        await offer.vehicle.next_message("start", offer.index)
        await offer.vehicle.ack(offer.index, "")
        for number in range(2):
            await offer.vehicle.ack(offer.index, "1-2")
            await offer.vehicle.next_message("finish", offer.index, after=number)
            await offer.vehicle.ack(offer.index, "1", (400, "Incomplete Download"))

        assert (await offer.wait_for("failed"))["reason"] == "aborted"
        assert (await offer.vehicle.next_message("abort", offer.index))["reason"] == "aborted"


async def test_silent_vehicle_is_tried_again_under_new_indexes_until_the_tries_are_over(tmp_path: Path) -> None:
    impatient = {"ack_timeout_s": 0.2, "attempts": 2, "tries": 2, "retry_pause_s": 0.5}
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, **impatient) as core:
        offer = await core.offer()
        await offer.vehicle.initiate(offer.index)
        await offer.vehicle.next_message("abort", offer.index)
        assert (await offer.update())["status"] == "pending"

        again = (await core.edge.expect(offer.vehicle.vin, "notify", after=1)).body
        assert [entry["download_index"] for entry in again["downloads"]] == [offer.index + 1]
        await offer.vehicle.initiate(offer.index + 1)

        assert (await offer.wait_for("failed"))["reason"] == "unreachable"


async def test_update_without_a_word_for_very_long_is_given_up_in_any_stage(tmp_path: Path) -> None:
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, silence_s=1.0) as core:
        offer = await core.offer()
        await offer.vehicle.download(offer.index, offer.package)  # and then it never reports
        assert (await offer.wait_for("failed"))["reason"] == "unreachable"


async def test_absent_vehicle_is_not_given_up(hasty: RunningCore) -> None:
    offer = await hasty.offer()
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await hasty.edge.disconnect(offer.vehicle.vin)
    await asyncio.sleep(1.5)  # far longer than all attempts together
    assert (await offer.update())["status"] == "in_flight"


async def test_notification_without_an_answer_is_repeated(hasty: RunningCore) -> None:
    offer = await hasty.offer()
    assert (await hasty.edge.expect(offer.vehicle.vin, "notify", after=2)).body == offer.notified


async def test_node_that_forgot_everything_is_told_again(core: RunningCore) -> None:
    core.edge.addresses.clear()
    await core.edge.registered()
    offer = await core.offer()
    await install(core, offer.vehicle, offer.notified)
    assert (await offer.update())["status"] == "installed"


async def test_node_that_is_away_delays_and_loses_nothing(core: RunningCore) -> None:
    vin, name = await core.add_target()
    core.edge.is_away = True
    request_id = await core.queue(name, "2.1.0")
    core.edge.vehicles.add(vin)
    core.edge.is_away = False
    vehicle = VehiclePlayer(core.edge, vin)
    await install(core, vehicle, (await core.edge.expect(vin, "notify")).body)
    assert (await core.update_of(request_id))["status"] == "installed"


async def test_another_core_goes_on_from_the_committed_acknowledgements(
    fresh_database_url: str, tmp_path: Path
) -> None:
    async with running_core(fresh_database_url, tmp_path) as core:
        offer = await core.offer(blocks=30)
        await offer.vehicle.initiate(offer.index)
        await offer.vehicle.next_message("start", offer.index)
        await offer.vehicle.ack(offer.index, "1-9,11")
        await core.program.stop()
        before = len(offer.vehicle.sent(offer.index))
        urls = {"resolver_url": core.resolver.address, "node_url": core.edge.url}
        second = CoreProgram(core_settings(fresh_database_url, tmp_path, **urls))
        await second.start()
        try:
            await offer.vehicle.next_message("start", offer.index, after=1)
            await offer.vehicle.receive(offer.index, 30 - 10)
            sent = offer.vehicle.sent(offer.index)[before:]
        finally:
            await second.stop()
    assert not set(sent) & {*range(1, 10), 11}


async def test_core_that_lost_the_vehicles_request_continues_at_its_acknowledgement(core: RunningCore) -> None:
    offer = await core.offer(blocks=30)
    await offer.vehicle.ack(offer.index, "1-9,11")

    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "1-9,11")
    await offer.vehicle.receive(offer.index, 30 - 10)

    assert not set(offer.vehicle.sent(offer.index)) & {*range(1, 10), 11}


@pytest.mark.parametrize("peer", [None, "WVW99999999999999"])
async def test_vehicle_speaks_for_itself_alone(core: RunningCore, peer: str | None) -> None:
    offer = await core.offer()
    vin = offer.vehicle.vin
    body = offer.vehicle.named(offer.index)
    status, answer = await core.edge.say(vin, "start", body, peer=peer)
    assert status == 403
    assert "error" in answer
    await asyncio.sleep(0.2)
    assert core.edge.to(vin, "start") == []


async def test_operator_may_accept_vehicles_that_a_real_node_does_not_name(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'core.db'}"
    async with running_core(database, tmp_path, accept_unidentified_peers=True) as core:
        offer = await core.offer()
        body = offer.vehicle.named(offer.index)
        status, _ = await core.edge.say(offer.vehicle.vin, "start", body, peer=None)
        assert status == 202


async def test_unknown_download_is_refused_and_dropped(core: RunningCore) -> None:
    offer = await core.offer()
    status, _ = await offer.vehicle.initiate(4711)
    assert status == 409
    await offer.vehicle.next_message("abort", 4711)


async def test_address_without_the_secret_answers_nothing(core: RunningCore) -> None:
    await core.edge.registered()
    answer = await core.stranger.client.request(
        "POST", "/rvi/guessed/start", body=b"{}", headers={"content-type": "application/json"}
    )
    assert answer.status == 404


async def test_empty_package_is_transferred_without_a_block(core: RunningCore) -> None:
    offer = await core.offer(blocks=0)
    await install(core, offer.vehicle, offer.notified)
    assert (await offer.update())["status"] == "installed"
    assert offer.vehicle.sent(offer.index) == []


async def test_removal_sends_no_file_and_ends_with_the_package_gone(core: RunningCore) -> None:
    name = new_name("ivi")
    vin = await core.add_vehicle((name, "2.1.0"))
    await core.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
    vehicle = VehiclePlayer(core.edge, vin)
    await vehicle.connect()
    request_id = await core.queue(name, "2.1.0", command="remove")
    index = (await core.edge.expect(vin, "notify")).body["downloads"][0]["download_index"]
    await vehicle.initiate(index)
    start = await vehicle.next_message("start", index)
    assert (start["command"], start["block_count"]) == ("remove", 0)
    await vehicle.ack(index, "")
    await vehicle.next_message("finish", index)
    await vehicle.ack(index, "", (200, f"Download of {name}/2.1.0 complete"))
    await vehicle.report(index, f"{name}/2.1.0")
    assert (await core.update_of(request_id))["status"] == "installed"
    assert await core.installed(vin) == []
