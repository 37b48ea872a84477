"""B9, RVI Node Client and SOTA Client: every outcome, against the real client behind a node that the test plays.

An answer to a message goes to the node; what Core must know comes as data in ``ack`` and ``report``
(docs/specification.md, ruling 12).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import debs
from tests.support.fixtures import offer_ivi, stored
from tests.support.identities import NAMED
from tests.support.vehicle import VIN, Offer, PlayedCore, Vehicle, begin, notify, vehicle_on_disk

NAMES = {"notify", "start", "abort", "chunk", "finish", "reported", "getpackages", "identity", "welcome"}


@pytest.mark.whitelist("WL-B9-1", "complete")
async def test_update_available_ends_with_the_installation(vehicle: Vehicle, ivi: Offer) -> None:
    core = PlayedCore(vehicle.node, ivi)

    status, answer = await vehicle.node.tell("notify", notify(ivi))
    await core.run_until_reported(1)

    assert (status, answer["result"]["status"]) == (202, 0)
    assert core.reports[1]["vin"] == VIN
    assert core.reports[1]["outcome"] == {"status": 200, "message": "Installation of ivi/1.0.0 complete"}
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


@pytest.mark.whitelist("WL-B9-1", "resumed")
async def test_update_is_resumed_five_times_after_the_network_was_lost(tmp_path: Path) -> None:
    async with vehicle_on_disk(tmp_path, client_resume_s=0.05) as vehicle:
        await vehicle.start_slm()
        await vehicle.start_client()
        ivi = offer_ivi(vehicle, tmp_path)
        await begin(vehicle, ivi, 1)

        resumed = [(await vehicle.node.heard("ack"))["received"] for _ in range(5)]

        with pytest.raises(TimeoutError):
            await vehicle.node.heard("ack", timeout_s=2.0)
        assert resumed == ["1"] * 5
        await vehicle.node.say_core_is_there()
        assert (await vehicle.node.heard("ack"))["received"] == "1"


@pytest.mark.whitelist("WL-B9-2")
@pytest.mark.whitelist("X-B9-5", "queued")
async def test_client_asks_core_for_the_download_through_its_node(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))

    asked = await vehicle.node.heard("start")

    assert (asked["vin"], asked["download_index"]) == (VIN, 1)
    assert (asked["identity"], asked["epoch"]) == (ivi.identity, ivi.epoch)


@pytest.mark.whitelist("WL-B9-3", "complete")
async def test_start_download_ends_with_the_installation(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.heard("start")

    status, _ = await vehicle.node.tell("start", ivi.start())
    core = PlayedCore(vehicle.node, ivi)
    await core.run_until_reported(1)

    assert status == 202
    assert core.reports[1]["outcome"] == {"status": 200, "message": "Installation of ivi/1.0.0 complete"}


@pytest.mark.whitelist("WL-B9-3", "resumed")
async def test_start_download_keeps_the_blocks_that_are_there(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 3)
    await vehicle.stop_client()
    await vehicle.start_client()
    vehicle.node.drain()

    await vehicle.node.tell("start", ivi.start())

    assert (await vehicle.node.heard("ack"))["received"] == "1,3"


@pytest.mark.whitelist("WL-B9-3", "resumed")
async def test_start_download_of_another_file_discards_the_blocks(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 3)
    vehicle.node.drain()
    other = Offer(1, "ivi", "1.0.0", ivi.content[::-1]).signed(vehicle.key)

    await vehicle.node.tell("notify", notify(other))
    assert (await vehicle.node.heard("start"))["identity"] == other.identity
    await vehicle.node.tell("start", other.start())

    assert (await vehicle.node.heard("ack"))["received"] == ""
    assert len(stored(vehicle)) == 1


@pytest.mark.whitelist("WL-B9-3", "cancelled")
async def test_abort_interrupts_the_download_and_deletes_what_was_stored(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2)
    assert len(stored(vehicle)) == 1

    status, _ = await vehicle.node.tell("abort", ivi.named)

    assert status == 200
    assert stored(vehicle) == []
    report = await vehicle.node.heard("report")
    assert (report["status"], report["reason"]) == ("cancelled", "aborted")
    assert debs.installed(vehicle.root) == {}


@pytest.mark.whitelist("WL-B9-3", "cancelled")
async def test_abort_of_an_unknown_download_is_passed_over_in_silence(vehicle: Vehicle) -> None:
    status, answer = await vehicle.node.tell("abort", {"download_index": 7, "identity": NAMED})

    assert (status, answer["result"]["status"]) == (200, 0)


@pytest.mark.whitelist("WL-B9-4", "received")
@pytest.mark.whitelist("X-B9-1", "received")
async def test_block_is_acknowledged_when_it_is_stored(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi)

    status, answer = await vehicle.node.tell("chunk", ivi.block(1))

    assert (status, answer["result"]["http_status"]) == (200, 200)
    assert await vehicle.node.heard("ack") == {"vin": VIN, **ivi.named, "epoch": ivi.epoch, "received": "1"}


@pytest.mark.whitelist("WL-B9-4", "duplicate")
async def test_block_that_was_received_before_is_discarded(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2)
    wrong = {**ivi.block(3), "index": 1}  # other bytes of the same length: seen if they were stored

    status, _ = await vehicle.node.tell("chunk", wrong)

    assert status == 200
    assert (await vehicle.node.heard("ack"))["received"] == "1-2"  # so the next one is block 3
    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.tell("start", ivi.start())
    await core.run_until_reported(1)
    assert core.reports[1]["status"] == "installed"
    assert core.blocks_sent == [(1, 3), (1, 4)]


@pytest.mark.whitelist("WL-B9-5", "downloaded")
async def test_finish_of_a_complete_download_is_confirmed(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2, 3, 4)
    vehicle.node.drain()

    status, answer = await vehicle.node.tell("finish", ivi.named)

    assert status == 200
    assert answer["result"]["message"] == "Download of ivi/1.0.0 complete"
    ack = await vehicle.node.heard("ack")
    assert ack["received"] == "1-4"
    assert ack["outcome"] == {"status": 200, "message": "Download of ivi/1.0.0 complete", "code": "downloaded"}


@pytest.mark.whitelist("WL-B9-5", "incomplete")
async def test_finish_of_an_incomplete_download_is_refused(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2, 4)
    vehicle.node.drain()

    status, answer = await vehicle.node.tell("finish", ivi.named)

    assert status == 400
    assert answer["error"]["message"] == "Incomplete Download"
    ack = await vehicle.node.heard("ack")
    assert ack["received"] == "1-2,4"
    assert ack["outcome"] == {"status": 400, "message": "Incomplete Download", "code": "incomplete"}


@pytest.mark.whitelist("WL-B9-5", "resumed")
async def test_finish_is_answered_again_when_its_answer_was_lost(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2, 3, 4)
    vehicle.node.deaf = True
    await vehicle.node.tell("finish", ivi.named)
    vehicle.node.deaf = False
    await vehicle.stop_client()
    await vehicle.start_client()
    vehicle.node.drain()

    status, answer = await vehicle.node.tell("finish", ivi.named)

    assert (status, answer["result"]["message"]) == (200, "Download of ivi/1.0.0 complete")


@pytest.mark.whitelist("WL-B9-6", "installed")
@pytest.mark.whitelist("X-B9-2", "received")
async def test_report_is_sent_until_core_has_it(vehicle: Vehicle, ivi: Offer) -> None:
    await report_lost_and_answered(vehicle, ivi, {"status": 200, "message": "ivi/1.0.0 success"})


@pytest.mark.whitelist("WL-B9-6", "already_complete")
async def test_report_of_what_is_complete_is_not_sent_again(vehicle: Vehicle, ivi: Offer) -> None:
    await report_lost_and_answered(vehicle, ivi, {"status": 409, "message": "ivi/1.0.0 failed"})


@pytest.mark.whitelist("WL-B9-6", "already_failed")
async def test_report_of_what_has_failed_is_not_sent_again(vehicle: Vehicle, ivi: Offer) -> None:
    ivi.content = b"not a package at all"
    await report_lost_and_answered(vehicle, ivi.signed(vehicle.key), {"status": 409, "message": "ivi/1.0.0 failed"})


@pytest.mark.whitelist("WL-B9-7", "listed")
@pytest.mark.whitelist("X-B9-10", "received")
async def test_packages_are_told(vehicle: Vehicle) -> None:
    status, _ = await vehicle.node.tell("getpackages", None)

    assert status == 200
    assert await vehicle.node.heard("packages") == {"vin": VIN, "packages": [], "firmware": [], "sequence": 1}


@pytest.mark.whitelist("WL-B9-7", "failed")
async def test_packages_cannot_be_told_without_the_loading_manager(vehicle: Vehicle) -> None:
    await vehicle.stop_slm()

    status, answer = await vehicle.node.tell("getpackages", None)

    assert (status, answer["error"]["message"]) == (409, "Get All Packages failed")
    told = await vehicle.node.heard("packages")
    assert told["outcome"] == {"status": 409, "message": "Get All Packages failed"}


@pytest.mark.whitelist("X-B9-3", "registered")
@pytest.mark.whitelist("X-B9-6", "listed")
async def test_services_are_registered_again_when_the_node_has_forgotten_them(vehicle: Vehicle) -> None:
    assert set(vehicle.node.addresses) == NAMES
    vehicle.node.addresses.clear()

    await vehicle.node.ready()

    assert set(vehicle.node.addresses) == NAMES


@pytest.mark.whitelist("X-B9-11", "answered")
async def test_callback_without_the_secret_finds_nothing(vehicle: Vehicle) -> None:
    address = vehicle.node.addresses["notify"]
    vehicle.node.addresses["notify"] = address.rpartition("/rvi/")[0] + "/rvi/guessed/notify"

    status, _ = await vehicle.node.tell("notify", {})

    assert status == 404


@pytest.mark.whitelist("X-B9-8", "received")
@pytest.mark.whitelist("X-B9-9", "received")
async def test_news_of_cores_services_is_taken(vehicle: Vehicle) -> None:
    for method in ("services_available", "services_unavailable"):
        status, answer = await vehicle.node.post(
            "notify", {"method": method, "params": {"services": ["genivi.org/backend/sota/report"]}}
        )
        assert (status, answer["result"]["status"]) == (200, 0)


async def report_lost_and_answered(vehicle: Vehicle, offer: Offer, outcome: dict[str, Any]) -> None:
    """Have a package transferred, let its report be lost twice, answer the third, and see that no more come."""
    await begin(vehicle, offer, *range(1, offer.block_count + 1))
    await vehicle.node.tell("finish", offer.named)
    for _ in range(3):
        assert (await vehicle.node.heard("report"))["download_index"] == 1

    status, _ = await vehicle.node.tell("reported", {**offer.named, "outcome": outcome})
    vehicle.node.drain()

    assert status == 200
    with pytest.raises(TimeoutError):
        await vehicle.node.heard("report", timeout_s=2.5)
