"""A vehicle and what Core remembers of it: indexes that come again, epochs, and folders of other lives."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support import debs
from tests.support.identities import NAMED
from tests.support.vehicle import Offer, PlayedCore, Vehicle, begin, notify
from tests.support.waiting import until

OTHER_EPOCH = "0123456789abcdef"
OTHER_VIN = "WVW00000000000002"


@pytest.fixture
def nav(vehicle: Vehicle, tmp_path: Path) -> Offer:
    """Another package under the same index, in another life of the vehicle."""
    return vehicle.offer(1, "nav", "3.0.0", debs.build(tmp_path, "nav", "3.0.0"), epoch=OTHER_EPOCH)


async def install(vehicle: Vehicle, offer: Offer) -> PlayedCore:
    core = PlayedCore(vehicle.node, offer)
    await vehicle.node.tell("notify", notify(offer))
    await core.run_until_reported(offer.index)
    vehicle.node.drain()
    return core


def holding(folder: Path) -> tuple[str, Path]:
    """Return a script that waits until a file exists, and the file."""
    gate = folder / "go-on"
    return 'while [ ! -e "$DPKG_ROOT/go-on" ]; do sleep 0.05; done', gate


async def test_known_index_of_another_life_is_another_download(vehicle: Vehicle, ivi: Offer, nav: Offer) -> None:
    await install(vehicle, ivi)

    core = await install(vehicle, nav)

    report = core.reports[1]
    assert (report["identity"], report["epoch"], report["status"]) == (nav.identity, OTHER_EPOCH, "installed")
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0", "nav": "3.0.0"}


async def test_download_under_way_is_replaced_by_the_one_of_the_new_life(
    vehicle: Vehicle, ivi: Offer, nav: Offer
) -> None:
    await begin(vehicle, ivi, 1, 2)

    core = await install(vehicle, nav)

    assert core.reports[1]["identity"] == nav.identity
    assert debs.installed(vehicle.root) == {"nav": "3.0.0"}
    assert list((vehicle.client_settings.data / "blocks").iterdir()) == []


async def test_installed_download_of_a_restored_core_is_reported_again_and_not_sent_again(
    vehicle: Vehicle, ivi: Offer
) -> None:
    await install(vehicle, ivi)
    log = (vehicle.root / "var/log/dpkg.log").read_text()
    ivi.epoch = OTHER_EPOCH

    status, answer = await vehicle.node.tell("notify", notify(ivi))

    assert (status, answer["result"]["message"]) == (200, "Installation of ivi/1.0.0 complete")
    report = await vehicle.node.heard("report")
    assert (report["identity"], report["epoch"], report["status"]) == (ivi.identity, OTHER_EPOCH, "installed")
    assert not [service for service, _ in vehicle.node.seen if service == "start"][1:]
    assert (vehicle.root / "var/log/dpkg.log").read_text() == log


async def test_same_download_under_another_index_is_reported_under_that_one(vehicle: Vehicle, ivi: Offer) -> None:
    await install(vehicle, ivi)
    ivi.index, ivi.epoch = 5, OTHER_EPOCH

    await vehicle.node.tell("notify", notify(ivi))

    report = await vehicle.node.heard("report")
    assert (report["download_index"], report["identity"], report["status"]) == (5, ivi.identity, "installed")


@pytest.mark.parametrize("epoch", [OTHER_EPOCH, ""], ids=["another life", "the same life"])
async def test_what_the_package_database_does_not_show_any_more_is_done_again(
    vehicle: Vehicle, ivi: Offer, epoch: str
) -> None:
    await install(vehicle, ivi)
    remove = ["dpkg", f"--root={vehicle.root}", "--force-not-root", "--purge", "ivi"]
    await asyncio.to_thread(subprocess.run, remove, check=True, capture_output=True)
    ivi.epoch = epoch or ivi.epoch

    core = await install(vehicle, ivi)

    assert core.reports[1]["status"] == "installed"
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}
    assert core.blocks_sent, "its file came once more"


async def test_failed_download_is_tried_again_in_another_life_only(vehicle: Vehicle, tmp_path: Path) -> None:
    broken = vehicle.offer(1, "bad", "1.0.0", debs.build(tmp_path, "bad", "1.0.0", postinst="exit 1"))
    first = await install(vehicle, broken)
    await vehicle.node.tell("notify", notify(broken))
    same = await vehicle.node.heard("report")
    vehicle.node.drain()
    broken.epoch = OTHER_EPOCH

    again = await install(vehicle, broken)

    assert same == first.reports[1]
    assert again.reports[1]["epoch"] == OTHER_EPOCH
    assert again.blocks_sent


async def test_begun_installation_ends_under_its_own_name_before_another_takes_its_index(
    vehicle: Vehicle, tmp_path: Path, nav: Offer
) -> None:
    script, gate = holding(vehicle.root)
    slow = vehicle.offer(1, "slow", "1.0.0", debs.build(tmp_path, "slow", "1.0.0", postinst=script))
    await begin(vehicle, slow, 1)
    await vehicle.node.tell("finish", slow.named)
    told = await vehicle.node.heard("stage")
    await vehicle.node.tell("notify", notify(nav))

    gate.touch()

    own = await vehicle.node.heard("report")
    assert (told["identity"], told["stage"], told["epoch"]) == (slow.identity, "installing", slow.epoch)
    assert (own["identity"], own["status"]) == (slow.identity, "installed")
    await packages_told(vehicle, [{"name": "slow", "version": "1.0.0"}])
    core = PlayedCore(vehicle.node, nav)
    await vehicle.node.tell("reported", {**slow.named, "outcome": {"status": 409, "message": "slow/1.0.0 failed"}})
    await core.run_until_reported(1)
    assert core.reports[1]["identity"] == nav.identity
    assert debs.installed(vehicle.root) == {"slow": "1.0.0", "nav": "3.0.0"}


async def test_folder_of_another_vehicle_is_set_aside(vehicle: Vehicle, ivi: Offer, nav: Offer) -> None:
    await install(vehicle, ivi)
    await vehicle.stop_client()
    await vehicle.stop_slm()
    vehicle.client_settings = msgspec.structs.replace(vehicle.client_settings, vin=OTHER_VIN)
    vehicle.slm_settings = msgspec.structs.replace(vehicle.slm_settings, vin=OTHER_VIN)

    await vehicle.start_slm()
    await vehicle.start_client()

    told = await vehicle.node.heard("packages")
    assert (told["vin"], told["packages"]) == (OTHER_VIN, [{"name": "ivi", "version": "1.0.0"}])
    await vehicle.node.say_core_is_there()
    assert await vehicle.node.heard("connected") == {"vin": OTHER_VIN, "highest_index": 0}
    core = await install(vehicle, nav)
    assert (core.reports[1]["vin"], core.reports[1]["identity"]) == (OTHER_VIN, nav.identity)
    aside = list(vehicle.client_settings.data.glob("client.db.other-vehicle-*"))
    assert len([file for file in aside if not file.name.endswith(("-wal", "-shm"))]) == 1


@pytest.mark.whitelist("X-B9-12")
@pytest.mark.whitelist("X-B9-14", "received")
async def test_vehicle_tells_what_its_folder_remembers_and_learns_its_epoch(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.say_core_is_there()
    new = await vehicle.node.heard("connected")
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.say_core_is_there()
    told = await vehicle.node.heard("connected")

    await vehicle.node.tell("welcome", {"epoch": OTHER_EPOCH})
    answer = await vehicle.node.heard("connected")
    await vehicle.stop_client()
    await vehicle.start_client()
    await vehicle.node.say_core_is_there()

    assert new == {"vin": ivi_vin(vehicle), "highest_index": 0}
    assert told == {"vin": ivi_vin(vehicle), "highest_index": 1, "epoch": ivi.epoch}
    assert answer == told
    assert (await vehicle.node.heard("connected"))["epoch"] == OTHER_EPOCH


@pytest.mark.whitelist("X-B9-13")
@pytest.mark.whitelist("X-B10-9", "received")
async def test_stage_of_an_installation_is_told_while_it_lasts_and_again_when_core_comes_back(
    vehicle: Vehicle, tmp_path: Path
) -> None:
    script, gate = holding(vehicle.root)
    slow = vehicle.offer(1, "slow", "1.0.0", debs.build(tmp_path, "slow", "1.0.0", postinst=script))
    await begin(vehicle, slow, 1)
    await vehicle.node.tell("finish", slow.named)
    first = await vehicle.node.heard("stage")

    await vehicle.node.say_core_is_there()
    again = await vehicle.node.heard("stage")

    assert first == again == {"vin": ivi_vin(vehicle), **slow.named, "epoch": slow.epoch, "stage": "installing"}
    gate.touch()
    assert (await vehicle.node.heard("report"))["status"] == "installed"


async def test_cancelled_download_takes_no_block_and_is_not_finished(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2, 3)
    assert (await vehicle.call_client("DELETE", "/v1/downloads/1")).status == 200
    await vehicle.node.heard("cancel")
    vehicle.node.drain()

    block, _ = await vehicle.node.tell("chunk", ivi.block(4))
    finish, answer = await vehicle.node.tell("finish", ivi.named)

    assert (block, finish) == (409, 409)
    assert "cancelled" in answer["error"]["message"]
    assert [service for service, _ in vehicle.node.seen].count("ack") == 4, "nothing was acknowledged after that"


@pytest.mark.whitelist("WL-B10-2", "complete")
async def test_initiating_what_is_installed_says_so(vehicle: Vehicle, ivi: Offer) -> None:
    await install(vehicle, ivi)

    answer = await vehicle.call_client("POST", "/v1/downloads", ivi.named)

    assert answer.status == 200
    assert msgspec.json.decode(answer.body)["message"] == "Installation of ivi/1.0.0 complete"


@pytest.mark.whitelist("WL-B9-1", "complete")
async def test_notify_of_what_is_installed_says_so_after_a_restart(vehicle: Vehicle, ivi: Offer) -> None:
    await install(vehicle, ivi)
    await vehicle.stop_client()
    await vehicle.start_client()

    status, answer = await vehicle.node.tell("notify", notify(ivi))

    assert (status, answer["result"]["message"]) == (200, "Installation of ivi/1.0.0 complete")


@pytest.mark.parametrize("is_signed", [True, False])
async def test_command_that_changes_between_two_starts_bypasses_no_check(
    vehicle: Vehicle, ivi: Offer, is_signed: bool
) -> None:
    garbage = Offer(1, "ivi", "1.0.0", b"x" * len(ivi.content), update_id=ivi.update_id)
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.heard("start")
    await vehicle.node.tell("start", {**ivi.start(), "command": "remove", **({} if is_signed else {"signature": None})})
    for number in range(1, ivi.block_count + 1):
        await vehicle.node.tell("chunk", {**garbage.block(number), **ivi.named})
    await vehicle.node.tell("start", ivi.start())
    for number in range(1, ivi.block_count + 1):
        await vehicle.node.tell("chunk", {**garbage.block(number), **ivi.named})

    status, _ = await vehicle.node.tell("finish", ivi.named)

    assert status == 409
    assert debs.installed(vehicle.root) == {}
    assert list((vehicle.slm_settings.data / "arriving").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [{"sha256": "f" * 64}, {"update_id": NAMED["update_id"]}, {"package": {"name": "other", "version": "1.0.0"}}],
    ids=["hash", "update", "package"],
)
async def test_messages_for_another_download_change_nothing(
    vehicle: Vehicle, ivi: Offer, change: dict[str, Any]
) -> None:
    await begin(vehicle, ivi, 1, 2, 3)
    other = {"download_index": 1, "identity": {**ivi.identity, **change}}
    vehicle.node.drain()

    answers = [
        await vehicle.node.tell("chunk", {**ivi.block(4), **other}),
        await vehicle.node.tell("finish", other),
        await vehicle.node.tell("start", {**ivi.start(), **change}),
        await vehicle.node.tell("abort", other),
    ]

    assert [status for status, _ in answers] == [409, 409, 409, 200]
    assert (await vehicle.node.tell("chunk", ivi.block(4)))[0] == 200

    async def acknowledged() -> bool:
        return any(body["received"] == "1-4" for service, body in vehicle.node.seen if service == "ack")

    await until(acknowledged, "the download goes on")


async def packages_told(vehicle: Vehicle, expected: list[dict[str, str]]) -> None:
    """Wait until the vehicle reports exactly these packages to Core."""

    async def look() -> bool:
        return any(body["packages"] == expected for service, body in vehicle.node.seen if service == "packages")

    await until(look, f"Core hears of {expected}")


def ivi_vin(vehicle: Vehicle) -> str:
    return vehicle.client_settings.vin
