"""B10, SOTA Client and Software Loading Manager: every outcome, against the two real programs and a real dpkg.

Where a row's answer is the end of long work, the caller either waits for it (``Prefer: wait``) or gets 202 and an
address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import debs
from tests.support.identities import NAMED
from tests.support.vehicle import (
    VIN,
    Offer,
    PlayedCore,
    Vehicle,
    notify,
    vehicle_on_disk,
)
from tests.support.waiting import until

MEBIBYTE = 1 << 20


@pytest.fixture
async def slm(tmp_path: Path) -> AsyncIterator[Vehicle]:
    """The Software Loading Manager alone: the test is its client."""
    async with vehicle_on_disk(tmp_path) as prepared:
        await prepared.start_slm()
        yield prepared


@pytest.fixture
def ivi(vehicle: Vehicle, tmp_path: Path) -> Offer:
    return vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0", payload_bytes=100_000))


@pytest.fixture
def large(slm: Vehicle, tmp_path: Path) -> Offer:
    """A package of three blocks of the size that the SOTA Client uses towards the Software Loading Manager."""
    file = debs.build(tmp_path, "ivi", "1.0.0", payload_bytes=2 * MEBIBYTE + 1)
    return slm.offer(1, "ivi", "1.0.0", file, block_size=MEBIBYTE)


@contextlib.asynccontextmanager
async def core_playing(vehicle: Vehicle, *offers: Offer) -> AsyncIterator[PlayedCore]:
    """Play Core beside what the test does, until all is reported."""
    core = PlayedCore(vehicle.node, *offers)
    playing = asyncio.create_task(core.run_until_reported(*core.offers))
    yield core
    await playing


def offered(offer: Offer) -> dict[str, Any]:
    """The body of B10-1: that of ``notify``."""
    return notify(offer)


def report(offer: Offer, status: str = "installed") -> dict[str, Any]:
    code = 0 if status == "installed" else 4
    return {
        "vin": VIN,
        **offer.named,
        "status": status,
        "operations": [{"id": "install", "result_code": code, "result_text": "output"}],
        **({"running_version": offer.version} if status == "installed" else {"reason": "install_failed"}),
    }


async def hand_over(slm: Vehicle, offer: Offer, *blocks: int) -> None:
    for number in blocks or range(1, offer.block_count + 1):
        content = offer.content[(number - 1) * offer.block_size : number * offer.block_size]
        answer = await slm.call_slm("PUT", f"/v1/downloads/{offer.index}/blocks/{number}", content)
        assert answer.status == 200


async def status_of(vehicle: Vehicle, update_id: str) -> Any:
    return json.loads((await vehicle.call_slm("GET", f"/v1/updates/{update_id}")).body)


@pytest.mark.whitelist("WL-B10-1", "complete")
async def test_update_available_is_answered_when_the_update_is_complete(vehicle: Vehicle, ivi: Offer) -> None:
    update = notify(ivi)
    body = update
    await vehicle.node.tell("notify", update)

    async with core_playing(vehicle, ivi):
        now = await vehicle.call_slm("POST", "/v1/updates", body)
        later = await vehicle.call_slm("POST", "/v1/updates", body, prefer="wait=20")

    assert now.status == 202
    assert now.headers["location"] == f"/v1/updates/{update['update_id']}"
    assert later.status == 200
    assert json.loads(later.body)["message"] == "Installation of ivi/1.0.0 complete"
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


@pytest.mark.whitelist("WL-B10-1", "resumed")
async def test_update_available_is_resumed_when_the_client_comes_back(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.stop_client()
    update = notify(ivi)
    body = update
    assert (await vehicle.call_slm("POST", "/v1/updates", body)).status == 202

    await vehicle.start_client()
    await vehicle.node.tell("notify", update)
    async with core_playing(vehicle, ivi) as core:
        pass

    assert core.reports[1]["status"] == "installed"


@pytest.mark.whitelist("WL-B10-2", "complete")
async def test_initiate_download_is_answered_when_the_update_is_complete(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))

    async with core_playing(vehicle, ivi):
        answer = await vehicle.call_client("POST", "/v1/downloads", ivi.named, prefer="wait=20")

    assert answer.status == 200
    assert json.loads(answer.body)["message"] == "Installation of ivi/1.0.0 complete"


@pytest.mark.whitelist("WL-B10-2", "resumed")
async def test_initiate_download_is_resumed_after_the_network_was_lost(vehicle: Vehicle, ivi: Offer) -> None:
    vehicle.node.deaf = True
    await vehicle.node.tell("notify", notify(ivi))
    assert (await vehicle.call_client("POST", "/v1/downloads", ivi.named)).status == 202
    assert vehicle.node.seen == []

    vehicle.node.deaf = False
    async with core_playing(vehicle, ivi) as core:
        pass

    assert core.reports[1]["status"] == "installed"


@pytest.mark.whitelist("WL-B10-2", "cancelled")
@pytest.mark.whitelist("X-B10-1", "cancelled")
async def test_cancel_by_the_vehicle_interrupts_the_download(vehicle: Vehicle, ivi: Offer) -> None:
    update = notify(ivi)
    await vehicle.node.tell("notify", update)
    await vehicle.node.heard("start")
    await vehicle.node.tell("start", ivi.start())
    await vehicle.node.tell("chunk", ivi.block(1))

    answer = await vehicle.call_client("DELETE", "/v1/downloads/1")

    assert answer.status == 200
    cancelled = await vehicle.node.heard("cancel")
    assert (cancelled["vin"], cancelled["download_index"]) == (VIN, 1)
    await vehicle.node.tell("abort", ivi.named)
    assert (await vehicle.node.heard("report"))["status"] == "cancelled"
    assert list((vehicle.client_settings.data / "blocks").iterdir()) == []


@pytest.mark.whitelist("WL-B10-3", "complete")
async def test_initiate_at_the_node_ends_with_the_installation(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))

    async with core_playing(vehicle, ivi) as core:
        pass

    asked = next(body for service, body in vehicle.node.seen if service == "start")
    assert (asked["vin"], asked["download_index"]) == (VIN, 1)
    assert (asked["identity"], asked["epoch"]) == (ivi.identity, ivi.epoch)
    assert core.reports[1]["outcome"] == {"status": 200, "message": "Installation of ivi/1.0.0 complete"}


@pytest.mark.whitelist("WL-B10-3", "resumed")
async def test_initiate_at_the_node_is_repeated_until_core_starts(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))

    for _ in range(3):  # each of these messages is lost behind the node
        assert (await vehicle.node.heard("start"))["download_index"] == 1
    await vehicle.node.tell("start", ivi.start())

    assert (await vehicle.node.heard("ack"))["received"] == ""


@pytest.mark.whitelist("WL-B10-3", "cancelled")
async def test_cancel_at_the_node_is_repeated_until_core_aborts(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.heard("start")

    await vehicle.call_client("DELETE", "/v1/downloads/1")
    await vehicle.node.heard("cancel")
    await vehicle.node.heard("cancel")
    await vehicle.node.tell("abort", {**ivi.named, "reason": "cancelled"})

    assert (await vehicle.node.heard("report"))["status"] == "cancelled"


@pytest.mark.whitelist("WL-B10-4", "complete")
@pytest.mark.whitelist("X-B10-3", "downloaded")
async def test_start_download_is_answered_when_the_installation_is_complete(slm: Vehicle, large: Offer) -> None:
    await slm.call_slm("POST", "/v1/updates", offered(large))

    accepted = await slm.call_slm("POST", "/v1/downloads/1/start", large.start())
    waiting = asyncio.create_task(slm.call_slm("POST", "/v1/downloads/1/start", large.start(), prefer="wait=20"))
    await hand_over(slm, large)
    finished = await slm.call_slm("POST", "/v1/downloads/1/finish")
    answer = await waiting

    assert accepted.status == 202
    assert finished.status == 200
    assert json.loads(finished.body)["message"] == "Download of ivi/1.0.0 complete"
    assert answer.status == 200
    assert json.loads(answer.body)["message"] == "Installation of ivi/1.0.0 complete"
    assert debs.installed(slm.root) == {"ivi": "1.0.0"}


@pytest.mark.whitelist("WL-B10-4", "resumed")
@pytest.mark.whitelist("X-B10-3", "incomplete")
async def test_start_download_keeps_the_blocks_that_are_there(slm: Vehicle, large: Offer) -> None:
    await slm.call_slm("POST", "/v1/updates", offered(large))
    await slm.call_slm("POST", "/v1/downloads/1/start", large.start())
    await hand_over(slm, large, 1, 3)
    await slm.stop_slm()
    await slm.start_slm()

    await slm.call_slm("POST", "/v1/downloads/1/start", large.start())
    early = await slm.call_slm("POST", "/v1/downloads/1/finish")
    await hand_over(slm, large, 2)
    finished = await slm.call_slm("POST", "/v1/downloads/1/finish")

    assert early.status == 400
    assert json.loads(early.body)["title"] == "Incomplete Download"
    assert finished.status == 200


@pytest.mark.whitelist("WL-B10-4", "cancelled")
@pytest.mark.whitelist("X-B10-2", "cancelled")
async def test_cancel_by_the_backend_discards_the_download(slm: Vehicle, large: Offer) -> None:
    update = offered(large)
    await slm.call_slm("POST", "/v1/updates", update)
    await slm.call_slm("POST", "/v1/downloads/1/start", large.start())
    await hand_over(slm, large, 1)

    answer = await slm.call_slm("DELETE", "/v1/downloads/1")

    assert answer.status == 200
    found = await status_of(slm, update["update_id"])
    assert (found["status"], found["reason"]) == ("cancelled", "aborted")
    assert list((slm.slm_settings.data / "arriving").iterdir()) == []


@pytest.mark.whitelist("WL-B10-5", "received")
async def test_block_is_acknowledged(slm: Vehicle, large: Offer) -> None:
    await slm.call_slm("POST", "/v1/updates", offered(large))
    await slm.call_slm("POST", "/v1/downloads/1/start", large.start())

    answer = await slm.call_slm("PUT", "/v1/downloads/1/blocks/1", large.content[:MEBIBYTE])

    assert answer.status == 200
    assert json.loads(answer.body) == {"download_index": 1, "received": "1"}


@pytest.mark.whitelist("WL-B10-5", "duplicate")
async def test_block_that_was_received_before_is_discarded(slm: Vehicle, large: Offer) -> None:
    await slm.call_slm("POST", "/v1/updates", offered(large))
    await slm.call_slm("POST", "/v1/downloads/1/start", large.start())
    await hand_over(slm, large, 1, 3)

    # Not the right bytes, so that it would be seen if they were stored.
    answer = await slm.call_slm("PUT", "/v1/downloads/1/blocks/1", bytes(MEBIBYTE))

    assert answer.status == 200
    assert json.loads(answer.body)["received"] == "1,3"
    await hand_over(slm, large, 2)
    assert (await slm.call_slm("POST", "/v1/downloads/1/finish")).status == 200


@pytest.mark.whitelist("WL-B10-6", "installed")
async def test_report_of_an_installation_is_accepted(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))

    answer = await vehicle.call_client("POST", "/v1/reports", report(ivi))

    assert answer.status == 200
    assert json.loads(answer.body)["message"] == "ivi/1.0.0 success"
    assert (await vehicle.node.heard("report"))["status"] == "installed"


@pytest.mark.whitelist("WL-B10-6", "already_complete")
async def test_report_of_what_is_complete_is_refused(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.call_client("POST", "/v1/reports", report(ivi))

    answer = await vehicle.call_client("POST", "/v1/reports", report(ivi, "failed"))

    assert answer.status == 409
    assert json.loads(answer.body)["title"] == "ivi/1.0.0 failed"
    assert json.loads(answer.body)["code"] == "already_complete"


@pytest.mark.whitelist("WL-B10-6", "already_failed")
async def test_report_of_what_has_failed_is_refused(vehicle: Vehicle, ivi: Offer) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    first = await vehicle.call_client("POST", "/v1/reports", report(ivi, "failed"))

    answer = await vehicle.call_client("POST", "/v1/reports", report(ivi))

    assert (first.status, json.loads(first.body)["message"]) == (200, "ivi/1.0.0 failed")
    assert answer.status == 409
    assert json.loads(answer.body)["title"] == "ivi/1.0.0 failed"
    assert json.loads(answer.body)["code"] == "already_failed"


@pytest.mark.whitelist("WL-B10-7", "listed")
async def test_packages_are_listed(slm: Vehicle) -> None:
    answer = await slm.call_slm("GET", "/v1/packages")

    assert answer.status == 200
    assert json.loads(answer.body) == {"vin": VIN, "packages": [], "firmware": []}


@pytest.mark.whitelist("WL-B10-7", "failed")
async def test_packages_of_a_damaged_database_cannot_be_told(slm: Vehicle) -> None:
    (slm.root / "var/lib/dpkg/status").write_text("no paragraph of a package\n")

    answer = await slm.call_slm("GET", "/v1/packages")

    assert answer.status == 409
    assert json.loads(answer.body)["title"] == "Get All Packages failed"


@pytest.mark.whitelist("X-B10-4", "found", "not_found")
async def test_status_of_an_update_is_told(slm: Vehicle, large: Offer) -> None:
    update = offered(large)
    await slm.call_slm("POST", "/v1/updates", update)

    async def accepted() -> bool:
        return bool((await status_of(slm, update["update_id"]))["stage"] == "accepted")

    await until(accepted, "the download to be wanted")
    assert (await status_of(slm, update["update_id"]))["status"] == "in_flight"
    unknown = await slm.call_slm("GET", "/v1/updates/01890a5d-ac96-774b-bcce-b302099a8057")
    assert unknown.status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/downloads/7", None),
        ("POST", "/v1/downloads/7/finish", None),
        ("PUT", "/v1/downloads/7/blocks/1", b"x"),
    ],
)
async def test_unknown_download_is_not_found_in_the_loading_manager(
    slm: Vehicle, method: str, path: str, body: bytes | None
) -> None:
    assert (await slm.call_slm(method, path, body)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("DELETE", "/v1/downloads/7", None), ("POST", "/v1/downloads", {"download_index": 7, "identity": NAMED})],
)
async def test_unknown_download_is_not_found_in_the_client(
    vehicle: Vehicle, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assert (await vehicle.call_client(method, path, body)).status == 404


async def test_wrong_credential_is_refused_on_both_sides(vehicle: Vehicle, ivi: Offer) -> None:
    wrong = "a token that was never issued"

    answers = [
        await vehicle.call_slm("GET", "/v1/packages", token=wrong),
        await vehicle.call_client("POST", "/v1/reports", report(ivi), token=wrong),
    ]

    assert [answer.status for answer in answers] == [404, 404]
    assert {json.loads(answer.body)["title"] for answer in answers} == {"Authentication Failed"}


async def test_what_is_not_in_the_table_is_refused(vehicle: Vehicle) -> None:
    assert (await vehicle.call_slm("GET", "/v1/everything")).status == 404
    assert (await vehicle.call_slm("DELETE", "/v1/packages")).status == 405
    assert (await vehicle.call_client("GET", "/v1/reports")).status == 405
