"""What the SOTA Client refuses, keeps and does only once, behind a node that the test plays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import debs
from tests.support.fixtures import offer_ivi, stored
from tests.support.identities import NAMED
from tests.support.raw_http import call_as_rvi_core
from tests.support.vehicle import Offer, PlayedCore, Vehicle, begin, notify, running_vehicle
from tests.support.waiting import until


async def test_report_is_sent_again_when_core_offers_what_is_done(vehicle: Vehicle, ivi: Offer) -> None:
    update = notify(ivi)
    core = PlayedCore(vehicle.node, ivi)
    await vehicle.node.tell("notify", update)
    await core.run_until_reported(1)
    vehicle.node.drain()

    await vehicle.node.tell("notify", update)

    again = await vehicle.node.heard("report")
    assert (again["identity"], again["status"]) == (ivi.identity, "installed")


async def test_what_was_left_half_cleared_away_is_removed(vehicle: Vehicle) -> None:
    left = vehicle.client_settings.data / "blocks" / "7-0123456789abcdef.blocks"
    await vehicle.stop_client()
    left.write_bytes(b"left over")

    await vehicle.start_client()

    assert not left.exists()


async def test_report_survives_a_restart(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2, 3, 4)
    await vehicle.node.tell("finish", ivi.named)
    await vehicle.node.heard("report")
    await vehicle.stop_client()
    vehicle.node.drain()

    await vehicle.start_client()

    assert (await vehicle.node.heard("report"))["status"] == "installed"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"signature": None}, "is not signed"),
        ({"target": "another unit"}, "fields do not match"),
    ],
)
async def test_download_without_a_trusted_signature_is_refused_before_it_begins(
    vehicle: Vehicle, ivi: Offer, change: dict[str, Any], why: str
) -> None:
    await vehicle.node.tell("notify", notify(ivi))
    await vehicle.node.heard("start")
    ivi.changes = change

    await vehicle.node.tell("start", ivi.start())

    report = await vehicle.node.heard("report")
    assert (report["status"], report["reason"]) == ("failed", "verification_failed")
    assert why in report["operations"][0]["result_text"]
    assert stored(vehicle) == []


async def test_signature_of_another_file_is_refused_before_it_begins(vehicle: Vehicle, ivi: Offer) -> None:
    forged = Offer(1, "ivi", "1.0.0", ivi.content[:-1] + b"!", signature=ivi.signature)
    await vehicle.node.tell("notify", notify(forged))
    await vehicle.node.heard("start")

    await vehicle.node.tell("start", forged.start())

    report = await vehicle.node.heard("report")
    assert (report["status"], report["reason"]) == ("failed", "verification_failed")
    assert "fields do not match" in report["operations"][0]["result_text"]
    assert stored(vehicle) == []


async def test_file_with_a_wrong_hash_never_reaches_the_loading_manager(vehicle: Vehicle, ivi: Offer) -> None:
    await begin(vehicle, ivi, 1, 2, 3)
    forged = Offer(1, "ivi", "1.0.0", ivi.content[:-1] + b"!")
    await vehicle.node.tell("chunk", {**forged.block(4), **ivi.named})

    status, _ = await vehicle.node.tell("finish", ivi.named)

    assert status == 409
    report = await vehicle.node.heard("report")
    assert (report["status"], report["reason"]) == ("failed", "verification_failed")
    assert stored(vehicle) == []
    assert list((vehicle.slm_settings.data / "arriving").iterdir()) == []
    assert debs.installed(vehicle.root) == {}


async def test_unsigned_package_is_taken_where_the_operator_allows_it(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, client_allow_unsigned=True) as vehicle:
        ivi = Offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0").read_bytes())
        core = PlayedCore(vehicle.node, ivi)

        await vehicle.node.tell("notify", notify(ivi))
        await core.run_until_reported(1)

        assert core.reports[1]["status"] == "installed"


async def test_download_over_the_quota_is_refused_before_it_begins(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, client_quota_bytes=100_000) as vehicle:
        ivi = offer_ivi(vehicle, tmp_path)
        await vehicle.node.tell("notify", notify(ivi))
        await vehicle.node.heard("start")

        status, _ = await vehicle.node.tell("start", ivi.start())

        assert status == 507
        report = await vehicle.node.heard("report")
        assert (report["status"], report["operations"][0]["result_code"]) == ("failed", 15)


async def test_download_for_which_nothing_comes_is_given_up(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, client_idle_timeout_s=0.5) as vehicle:
        ivi = offer_ivi(vehicle, tmp_path)
        await begin(vehicle, ivi, 1)

        report = await vehicle.node.heard("report")

        assert (report["status"], report["reason"]) == ("failed", "aborted")
        assert stored(vehicle) == []


async def test_notification_that_comes_twice_does_nothing_twice(vehicle: Vehicle, ivi: Offer) -> None:
    update = notify(ivi)
    core = PlayedCore(vehicle.node, ivi)
    for _ in range(3):
        await vehicle.node.tell("notify", update)
    await core.run_until_reported(1)
    log = (vehicle.root / "var/log/dpkg.log").read_text()

    await vehicle.node.tell("notify", update)

    assert log.count(" status installed ivi:all 1.0.0") == 1

    async def quiet() -> bool:
        return (vehicle.root / "var/log/dpkg.log").read_text() == log

    await until(quiet, "nothing more to be installed")


@pytest.mark.parametrize(
    ("service", "body"),
    [
        ("start", {"download_index": 7, "identity": NAMED}),
        ("chunk", {"download_index": 7, "identity": NAMED, "index": 1, "bytes": "AA=="}),
        ("finish", {"download_index": "seven", "identity": NAMED}),
        ("notify", None),
    ],
)
async def test_malformed_and_unknown_messages_cost_nothing(vehicle: Vehicle, service: str, body: Any) -> None:
    status, answer = await vehicle.node.tell(service, body)

    assert status in {400, 404}
    assert "error" in answer


async def test_blocks_that_a_real_node_hands_over_all_at_once_and_in_any_order_are_kept(
    vehicle: Vehicle, ivi: Offer
) -> None:
    """A real rvi_core calls for each message by itself, without a port in ``Host`` and without a sender."""
    await begin(vehicle, ivi)

    async def call(number: int) -> tuple[int, bytes]:
        params = f'{{"service_name":"/sota/chunk","parameters":[{json.dumps(ivi.block(number))}]}}'
        return await call_as_rvi_core(vehicle.node.addresses["chunk"], "message", params)

    answers = await asyncio.gather(*(call(number) for number in (4, 2, 3, 1, 2)))

    assert [status for status, _ in answers] == [200] * 5
    while (await vehicle.node.heard("ack"))["received"] != "1-4":
        pass
