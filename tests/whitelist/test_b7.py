"""B7, SOTA Core and the RVI Node Server: every outcome, against the real Core and a played edge.

What the whitelist calls the node's answer comes from the vehicle behind it, in ``ack`` and ``report``. Scheduling
(B7-1) is asked of a real node.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.core import RunningCore, running_core
from tests.support.rvi import EdgeCaller, Identities, backend_settings, running
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
UPDATE_ID = "019aa9c0-1111-7000-8000-000000000001"
VIN = "WVW00000000000001"


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[RunningCore]:
    """A Core that resends after a fraction of a second."""
    settings = {"ack_timeout_s": 0.3, "window": 2}
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, **settings) as started:
        yield started


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeCaller]:
    folder = tmp_path_factory.mktemp("node")
    async with running(backend_settings(Identities(folder), folder / "data")) as (_, caller):
        yield caller


async def ask(node: EdgeCaller, method: str, params: Any) -> tuple[int, dict[str, Any]]:
    status, content = await node.post(
        msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    )
    return status, msgspec.json.decode(content)


def scheduled(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "vin": VIN,
        "update_id": UPDATE_ID,
        "package": {"name": "ivi", "version": "2.1.0"},
        "dependencies": [{"name": "libmap", "version": "1.4.0"}],
        "interval": {"start": now.isoformat(), "end": (now + timedelta(hours=1)).isoformat()},
        "priority": 10,
        "created_at": now.isoformat(),
        **changes,
    }


@pytest.mark.whitelist("WL-B7-1", "scheduled")
async def test_update_is_scheduled_for_its_vin(node: EdgeCaller) -> None:
    status, answer = await ask(node, "schedule_update", [scheduled()])
    assert (status, answer["result"]["vins"]) == (200, [VIN])
    status, answer = await ask(node, "unschedule_update", [{"vin": VIN, "update_id": UPDATE_ID}])
    assert (status, answer["result"]["vins"]) == (200, [VIN])


@pytest.mark.whitelist("WL-B7-1", "scheduling_failed")
async def test_update_that_cannot_be_scheduled_is_refused(node: EdgeCaller) -> None:
    status, answer = await ask(node, "schedule_update", [scheduled(vin="no vin")])
    assert (status, answer["error"]["message"]) == (412, "Task scheduling failed")


@pytest.mark.whitelist("WL-B7-1", "scheduled")
async def test_queueing_leaves_the_update_with_the_node(core: RunningCore) -> None:
    offer = await core.offer()

    async def look() -> dict[str, Any] | None:
        return next((entry for entry in core.edge.scheduled if entry["vin"] == offer.vehicle.vin), None)

    entry = await until(look, "the update is scheduled")
    assert f"{entry['package']['name']}/{entry['package']['version']}" == offer.package
    assert (entry["update_id"], entry["priority"], entry["dependencies"]) == (offer.notified["update_id"], 10, [])


@pytest.mark.whitelist("WL-B7-1", "scheduling_failed")
async def test_schedule_that_fails_is_tried_again_and_fails_no_request(core: RunningCore) -> None:
    core.edge.refuse_schedules = True
    try:
        offer = await core.offer()  # queued and notified all the same
    finally:
        core.edge.refuse_schedules = False

    async def look() -> bool:
        return any(entry["vin"] == offer.vehicle.vin for entry in core.edge.scheduled)

    await until(look, "the update is scheduled after all")


@pytest.mark.whitelist("WL-B7-2", "complete")
async def test_notified_update_is_installed(core: RunningCore) -> None:
    offer = await core.offer(description="Better maps", request_confirmation=True)
    name, _, version = offer.package.partition("/")
    expected = {"download_index": offer.index, "package": {"name": name, "version": version}, "size": 3072}
    expected["sha256"] = hashlib.sha256(offer.content).hexdigest()
    assert offer.notified["downloads"] == [expected]
    assert (offer.notified["description"], offer.notified["request_confirmation"]) == ("Better maps", True)

    await offer.vehicle.download(offer.index, offer.package)
    outcome = {"status": 200, "message": f"Installation of {offer.package} complete"}
    await offer.vehicle.report(offer.index, offer.package, outcome=outcome)

    update = await offer.update()
    assert (update["status"], update["packages"]) == ("installed", [{"name": name, "version": version}])
    assert await core.installed(offer.vehicle.vin) == [{"name": name, "version": version}]


@pytest.mark.whitelist("WL-B7-2", "resumed")
async def test_update_is_announced_again_when_the_vehicle_comes_back(core: RunningCore) -> None:
    offer = await core.offer()
    await core.edge.disconnect(offer.vehicle.vin)
    await offer.vehicle.connect()
    again = await core.edge.expect(offer.vehicle.vin, "notify", after=1)
    assert again.body == offer.notified


@pytest.mark.whitelist("WL-B7-2", "resumed")
async def test_vehicle_that_was_there_all_the_time_is_not_told_at_once_again(core: RunningCore) -> None:
    offer = await core.offer()
    vin = offer.vehicle.vin
    await core.edge.connect(vin)  # as a node says when the update of a vehicle that is there is scheduled
    await core.edge.disconnect(vin)
    await core.edge.connect(vin)
    await core.edge.expect(vin, "notify", after=1)
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)

    assert len(core.edge.to(vin, "notify")) == 2


@pytest.mark.whitelist("WL-B7-3", "complete")
async def test_initiated_download_is_told_to_be_complete_when_it_is(core: RunningCore) -> None:
    offer = await core.offer()
    status, _ = await offer.vehicle.initiate(offer.index)
    assert status == 202
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)

    status, answer = await offer.vehicle.initiate(offer.index)

    assert (status, answer["result"]["message"]) == (200, f"Installation of {offer.package} complete")


@pytest.mark.whitelist("WL-B7-3", "resumed")
async def test_initiating_again_goes_on_where_it_was(core: RunningCore) -> None:
    offer = await core.offer(blocks=20)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "1-8")
    await offer.vehicle.next_message("chunk", offer.index, after=1)
    before = len(offer.vehicle.sent(offer.index))

    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index, after=1)
    await offer.vehicle.ack(offer.index, "1-8")

    await offer.vehicle.next_message("chunk", offer.index, after=before)
    assert offer.vehicle.sent(offer.index)[before] == 9


@pytest.mark.whitelist("WL-B7-3", "cancelled")
async def test_cancelling_a_download_ends_its_update(core: RunningCore) -> None:
    offer = await core.offer()
    vin = offer.vehicle.vin
    status, _ = await core.edge.say(vin, "cancel", offer.vehicle.named(offer.index, reason="declined"))

    assert status == 200
    update = await offer.update()
    assert (update["status"], update["reason"]) == ("cancelled", "declined")


@pytest.mark.whitelist("WL-B7-4", "complete")
async def test_start_tells_what_comes_and_ends_in_an_installation(core: RunningCore) -> None:
    offer = await core.offer(blocks=2.5)
    await offer.vehicle.initiate(offer.index)
    start = await offer.vehicle.next_message("start", offer.index)
    assert (start["size"], start["block_size"], start["block_count"]) == (2560, 1024, 3)
    assert (start["installer"], start["command"]) == ("deb", "install")
    assert len(start["sha256"]) == 64
    assert len(start["sha1"]) == 40

    await offer.vehicle.download(offer.index, offer.package)
    outcome = {"status": 200, "message": f"Installation of {offer.package} complete"}
    status, _ = await offer.vehicle.report(offer.index, offer.package, outcome=outcome)

    assert status == 200
    assert (await offer.update())["status"] == "installed"


@pytest.mark.whitelist("WL-B7-4", "resumed")
async def test_start_comes_again_after_a_lost_network(core: RunningCore) -> None:
    offer = await core.offer(blocks=20)
    await offer.vehicle.initiate(offer.index)
    first = await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "1-5")
    await core.edge.disconnect(offer.vehicle.vin)
    await offer.vehicle.connect()

    assert await offer.vehicle.next_message("start", offer.index, after=1) == first
    before = len(offer.vehicle.sent(offer.index))
    await offer.vehicle.ack(offer.index, "1-7,9")
    await offer.vehicle.next_message("chunk", offer.index, after=before + 1)
    assert offer.vehicle.sent(offer.index)[before : before + 2] == [8, 10]


@pytest.mark.whitelist("WL-B7-4", "cancelled")
async def test_cancelling_a_started_download_aborts_it(core: RunningCore) -> None:
    offer = await core.offer(blocks=20)
    vin = offer.vehicle.vin
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "")
    await offer.vehicle.next_message("chunk", offer.index)

    await core.edge.say(vin, "cancel", offer.vehicle.named(offer.index))

    abort = await offer.vehicle.next_message("abort", offer.index)
    assert (abort["reason"], abort["identity"]) == ("aborted", offer.identity)
    sent = offer.vehicle.sent(offer.index)
    await offer.vehicle.ack(offer.index, "1-3")
    assert offer.vehicle.sent(offer.index) == sent
    assert (await offer.update())["status"] == "cancelled"


@pytest.mark.whitelist("WL-B7-5", "received")
async def test_block_that_is_acknowledged_is_followed_by_the_lowest_that_is_not(core: RunningCore) -> None:
    offer = await core.offer(blocks=12)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "")
    await offer.vehicle.next_message("chunk", offer.index, after=1)
    assert offer.vehicle.sent(offer.index) == [1, 2]

    status, _ = await offer.vehicle.ack(offer.index, "2-3")

    assert status == 200
    await offer.vehicle.next_message("chunk", offer.index, after=3)
    assert offer.vehicle.sent(offer.index)[2:] == [4, 5]  # the window has grown by one
    assert (await offer.update())["acknowledged"] == 2048


@pytest.mark.whitelist("WL-B7-5", "duplicate")
async def test_acknowledging_a_block_twice_gets_the_next_one_and_no_other_again(core: RunningCore) -> None:
    offer = await core.offer(blocks=10)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "")
    await offer.vehicle.next_message("chunk", offer.index, after=1)

    await offer.vehicle.ack(offer.index, "1")
    status, _ = await offer.vehicle.ack(offer.index, "1")

    assert status == 200
    await offer.vehicle.next_message("chunk", offer.index, after=3)
    assert offer.vehicle.sent(offer.index) == [1, 2, 3, 4]  # the window has grown by one


@pytest.mark.whitelist("WL-B7-5", "resumed")
async def test_block_that_is_not_acknowledged_is_sent_again(hasty: RunningCore) -> None:
    offer = await hasty.offer(blocks=4)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.ack(offer.index, "")
    await offer.vehicle.next_message("chunk", offer.index, after=1)
    await offer.vehicle.ack(offer.index, "2")

    await offer.vehicle.next_message("chunk", offer.index, after=4)

    sent = offer.vehicle.sent(offer.index)
    assert sent[:3] == [1, 2, 3]
    assert sent.count(1) > 1
    assert sent.count(2) == 1


@pytest.mark.whitelist("WL-B7-6", "downloaded")
async def test_download_that_is_whole_is_transferred(core: RunningCore) -> None:
    offer = await core.offer()
    assert await offer.vehicle.download(offer.index, offer.package) == offer.content
    update = await offer.update()
    assert (update["status"], update["stage"], update["acknowledged"]) == ("in_flight", "transferred", 3072)


@pytest.mark.whitelist("WL-B7-6", "incomplete")
async def test_missing_blocks_are_fetched_when_the_download_is_incomplete(core: RunningCore) -> None:
    offer = await core.offer(blocks=6)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.receive(offer.index, 6)
    await offer.vehicle.next_message("finish", offer.index)
    before = len(offer.vehicle.sent(offer.index))

    await offer.vehicle.ack(offer.index, "1-2,4,6", (400, "Incomplete Download"))
    await offer.vehicle.next_message("chunk", offer.index, after=before + 1)
    await offer.vehicle.ack(offer.index, "1-6")

    assert offer.vehicle.sent(offer.index)[before:] == [3, 5]
    await offer.vehicle.next_message("finish", offer.index, after=1)
    await offer.vehicle.ack(offer.index, "1-6", (200, f"Download of {offer.package} complete"))
    assert (await offer.update())["stage"] == "transferred"


@pytest.mark.whitelist("WL-B7-6", "resumed")
async def test_finish_that_is_not_answered_is_said_again(hasty: RunningCore) -> None:
    offer = await hasty.offer(blocks=2)
    await offer.vehicle.initiate(offer.index)
    await offer.vehicle.next_message("start", offer.index)
    await offer.vehicle.receive(offer.index, 2)

    await offer.vehicle.next_message("finish", offer.index, after=1)
    await offer.vehicle.ack(offer.index, "1-2", (200, f"Download of {offer.package} complete"))

    assert (await offer.update())["stage"] == "transferred"
    assert offer.vehicle.sent(offer.index) == [1, 2]


@pytest.mark.whitelist("WL-B7-7", "installed")
async def test_report_of_success_is_recorded(core: RunningCore) -> None:
    offer = await core.offer(("ivi-base", "1.0.0"))
    await offer.vehicle.download(offer.index, offer.package)

    status, answer = await offer.vehicle.report(offer.index, offer.package)

    assert (status, answer["result"]["message"]) == (200, f"{offer.package} success")
    told = await offer.vehicle.next_message("reported", offer.index)
    assert told["outcome"] == {"status": 200, "message": f"{offer.package} success"}
    assert (await offer.update())["status"] == "installed"


@pytest.mark.whitelist("WL-B7-7", "already_complete")
async def test_report_of_a_completed_update_is_refused(core: RunningCore) -> None:
    offer = await core.offer()
    await offer.vehicle.download(offer.index, offer.package)
    await offer.vehicle.report(offer.index, offer.package)

    status, answer = await offer.vehicle.report(offer.index, offer.package)

    assert (status, answer["error"]["message"]) == (409, f"{offer.package} failed")
    assert answer["error"]["data"]["code"] == "already_complete"
    told = await offer.vehicle.next_message("reported", offer.index, after=1)
    assert told["outcome"] == {"status": 409, "message": f"{offer.package} failed"}
    assert (await offer.update())["status"] == "installed"


@pytest.mark.whitelist("WL-B7-7", "already_failed")
async def test_report_of_a_failed_update_is_refused(core: RunningCore) -> None:
    offer = await core.offer()
    operation = {"id": "install", "result_code": 4, "result_text": "dpkg: error: disk on fire"}
    status, answer = await offer.vehicle.report(
        offer.index, offer.package, "failed", reason="install_failed", operations=[operation]
    )
    assert (status, answer["result"]["message"]) == (200, f"{offer.package} failed")
    update = await offer.update()
    assert (update["status"], update["reason"], update["result_code"]) == ("failed", "install_failed", 4)
    assert update["result_text"] == "dpkg: error: disk on fire"

    status, answer = await offer.vehicle.report(offer.index, offer.package)

    assert (status, answer["error"]["message"]) == (409, f"{offer.package} failed")
    assert answer["error"]["data"]["code"] == "already_failed"


@pytest.mark.whitelist("WL-B7-8", "listed")
async def test_vehicle_is_asked_for_all_packages_after_a_failure(core: RunningCore) -> None:
    offer = await core.offer(("ivi-base", "1.0.0"))
    vin = offer.vehicle.vin
    await offer.vehicle.report(offer.index, offer.package, "failed", reason="rolled_back")
    await core.edge.expect(vin, "getpackages")

    packages = [{"name": "bash", "version": "5.2.15-2+b7"}, {"name": "ivi-base", "version": "1.0.0"}]
    status, _ = await core.edge.say(vin, "packages", {"vin": vin, "packages": packages, "firmware": []})

    assert status == 200
    assert await core.installed(vin) == packages
