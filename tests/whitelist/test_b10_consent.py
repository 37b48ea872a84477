"""B10, the driver's consent: a head unit's calls and the driver's page, every outcome, against the real programs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.b10_client_slm.driver import DriverBrowser
from sota.kit.http.client import HttpClient, Response
from sota.kit.runtime.clock import new_id
from tests.support import debs
from tests.support.vehicle import Offer, PlayedCore, Vehicle, notify, running_vehicle
from tests.support.waiting import until

UPDATE = "0190f000-0000-7000-8000-000000000001"


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with running_vehicle(tmp_path, slm_max_deferrals=2) as running:
        yield running


@pytest.fixture
def ivi(vehicle: Vehicle, tmp_path: Path) -> Offer:
    return vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0"))


async def head_unit(vehicle: Vehicle, method: str, path: str, body: Any = None) -> Response:
    return await vehicle.call_slm(method, path, body, token=(vehicle.folder / "head-unit.token").read_text())


async def decide(vehicle: Vehicle, decision: str, **more: Any) -> Response:
    return await head_unit(vehicle, "POST", f"/v1/consent/{UPDATE}", {"decision": decision, **more})


async def ask(vehicle: Vehicle, offer: Offer) -> list[dict[str, Any]]:
    """Have Core offer an update that needs consent; return what waits for the driver then."""
    await vehicle.node.tell("notify", notify(offer, update_id=UPDATE, request_confirmation=True))

    async def is_offered() -> bool:
        return (await head_unit(vehicle, "GET", "/v1/consent")).body != b"[]"

    await until(is_offered, "the update to be offered to the driver")
    questions: list[dict[str, Any]] = json.loads((await head_unit(vehicle, "GET", "/v1/consent")).body)
    return questions


async def browser(
    vehicle: Vehicle, method: str, path: str, form: str | None = None, **headers: str
) -> tuple[Response, str]:
    """Call as the head unit's browser does: without a token. Gives the answer, and the page's secret."""
    secret = (vehicle.slm_settings.data / "driver.secret").read_text()
    client = HttpClient(f"http://127.0.0.1:{vehicle.slm_settings.port}")
    driver = DriverBrowser(client)
    _, _, asked, *update = path.split("/")
    asked = asked.replace("SECRET", secret)
    try:
        if form is None:
            return await driver.page(asked), secret
        return await driver.decide(asked, update[0], form, headers), secret
    finally:
        await client.close()


async def form_token(vehicle: Vehicle) -> str:
    page, _ = await browser(vehicle, "GET", "/driver/SECRET")
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page.body.decode())
    assert found is not None
    return found.group(1)


def problem(answer: Response) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["title"]


@pytest.mark.whitelist("X-B10-5", "listed")
async def test_what_waits_for_the_driver_is_listed(vehicle: Vehicle, ivi: Offer) -> None:
    assert json.loads((await head_unit(vehicle, "GET", "/v1/consent")).body) == []

    (question,) = await ask(vehicle, ivi)

    assert question["update_id"] == UPDATE
    assert question["packages"] == [{"name": "ivi", "version": "1.0.0"}]
    assert (question["size"], question["deferrals_left"]) == (len(ivi.content), 2)
    assert "deferred_until" not in question
    assert vehicle.node.seen == []


@pytest.mark.whitelist("X-B10-6", "recorded")
async def test_accepted_update_is_installed(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    status = json.loads((await vehicle.call_slm("GET", f"/v1/updates/{UPDATE}")).body)
    assert (status["status"], status["waiting_for"]) == ("pending", "consent")

    assert (await decide(vehicle, "accept")).status == 200
    core = PlayedCore(vehicle.node, ivi)
    await core.run_until_reported(1)

    assert core.reports[1]["status"] == "installed"
    assert json.loads((await head_unit(vehicle, "GET", "/v1/consent")).body) == []


@pytest.mark.whitelist("X-B10-6", "recorded")
async def test_declined_update_fails_with_code_13(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)

    assert (await decide(vehicle, "decline")).status == 200

    report = await vehicle.node.heard("report")
    assert (report["status"], report["reason"]) == ("failed", "declined")
    assert report["operations"] == [
        {"id": "consent", "result_code": 13, "result_text": "The driver declined the update."}
    ]
    assert [service for service, _ in vehicle.node.seen if service == "start"] == []
    assert (await decide(vehicle, "decline")).status == 200


@pytest.mark.whitelist("X-B10-6", "not_deferrable")
async def test_update_is_put_off_within_limits(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    now = datetime.now(UTC)

    assert (await decide(vehicle, "defer", until=(now + timedelta(hours=1)).isoformat())).status == 200
    assert (await decide(vehicle, "defer")).status == 200

    (question,) = json.loads((await head_unit(vehicle, "GET", "/v1/consent")).body)
    assert question["deferrals_left"] == 0
    assert "defer_until" not in question
    assert datetime.fromisoformat(question["deferred_until"]) > now + timedelta(hours=23)
    assert problem(await decide(vehicle, "defer")) == (409, "Not Deferrable")
    status = json.loads((await vehicle.call_slm("GET", f"/v1/updates/{UPDATE}")).body)
    assert status["waiting_for"] == "deferral"


async def test_update_is_not_put_off_into_the_past_or_for_ever(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    now = datetime.now(UTC)

    assert (await decide(vehicle, "defer", until=(now - timedelta(hours=1)).isoformat())).status == 400
    late = await decide(vehicle, "defer", until=(now + timedelta(days=8)).isoformat())
    assert problem(late) == (409, "Not Deferrable")


@pytest.mark.whitelist("X-B10-6", "decided", "not_found")
async def test_final_word_is_final(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    await decide(vehicle, "accept")

    assert problem(await decide(vehicle, "decline")) == (409, "Already Decided")
    unknown = await head_unit(vehicle, "POST", f"/v1/consent/{new_id()}", {"decision": "accept"})
    assert problem(unknown) == (404, "Not Found")
    assert (await decide(vehicle, "perhaps")).status == 400


async def test_head_unit_and_client_have_each_their_own_calls(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)

    assert (await vehicle.call_slm("POST", f"/v1/consent/{UPDATE}", {"decision": "accept"})).status == 404
    assert (await head_unit(vehicle, "GET", "/v1/packages")).status == 404
    assert (await vehicle.call_slm("GET", "/v1/consent", token="wrong")).status == 404


async def test_consent_survives_a_restart(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    await decide(vehicle, "defer")
    await vehicle.stop_slm()
    await vehicle.start_slm()

    (question,) = json.loads((await head_unit(vehicle, "GET", "/v1/consent")).body)
    assert question["deferrals_left"] == 1
    await vehicle.stop_client()
    await decide(vehicle, "accept")
    await vehicle.stop_slm()
    await vehicle.start_slm()
    await vehicle.start_client()
    await vehicle.node.tell("notify", notify(ivi, update_id=UPDATE, request_confirmation=True))
    core = PlayedCore(vehicle.node, ivi)
    await core.run_until_reported(1)
    assert core.reports[1]["status"] == "installed"


async def test_one_update_that_waits_holds_no_other_up(vehicle: Vehicle, ivi: Offer, tmp_path: Path) -> None:
    await ask(vehicle, ivi)
    other = vehicle.offer(2, "maps", "1.0.0", debs.build(tmp_path, "maps", "1.0.0"))
    await vehicle.node.tell("notify", notify(other))
    core = PlayedCore(vehicle.node, other)
    await core.run_until_reported(2)
    assert core.reports[2]["status"] == "installed"


async def test_update_that_was_put_off_is_asked_again(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, slm_defer_s=0.2) as vehicle:
        await ask(vehicle, vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0")))
        await decide(vehicle, "defer")

        async def is_asked_again() -> bool:
            (question,) = json.loads((await head_unit(vehicle, "GET", "/v1/consent")).body)
            return "deferred_until" not in question

        await until(is_asked_again, "the driver to be asked again")
        assert vehicle.node.seen == []


@pytest.mark.whitelist("X-B10-7", "shown", "not_found")
async def test_page_is_shown_to_who_knows_its_address(vehicle: Vehicle, ivi: Offer) -> None:
    body = notify(ivi, update_id=UPDATE, request_confirmation=True)
    await vehicle.node.tell("notify", {**body, "description": '<script>alert("x")</script>'})

    async def is_shown() -> bool:
        return b"ivi/1.0.0" in (await browser(vehicle, "GET", "/driver/SECRET"))[0].body

    await until(is_shown, "the update to be shown")
    page, _ = await browser(vehicle, "GET", "/driver/SECRET")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert b"ivi/1.0.0" in page.body
    assert b"&lt;script&gt;" in page.body
    assert b"<script" not in page.body
    stranger, _ = await browser(vehicle, "GET", "/driver/guess")
    assert problem(stranger) == (404, "Not Found")


@pytest.mark.whitelist("X-B10-8", "recorded")
async def test_page_takes_the_drivers_word(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    token = await form_token(vehicle)

    later, secret = await browser(vehicle, "POST", f"/driver/SECRET/{UPDATE}", f"token={token}&decision=defer&hours=4")
    assert (later.status, later.headers["location"]) == (303, f"/driver/{secret}")
    page, _ = await browser(vehicle, "GET", "/driver/SECRET")
    assert b"Deferred until" in page.body

    answer, _ = await browser(vehicle, "POST", f"/driver/SECRET/{UPDATE}", f"token={token}&decision=accept")
    assert answer.status == 303
    core = PlayedCore(vehicle.node, ivi)
    await core.run_until_reported(1)
    assert core.reports[1]["status"] == "installed"


@pytest.mark.whitelist("X-B10-8", "forbidden", "not_found")
async def test_page_takes_no_forged_form(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    token = await form_token(vehicle)
    path = f"/driver/SECRET/{UPDATE}"

    for form, headers in (
        ("decision=accept", {}),
        ("token=0&decision=accept", {}),
        (f"token={token}&decision=accept", {"sec-fetch-site": "cross-site"}),
    ):
        answer, _ = await browser(vehicle, "POST", path, form, **headers)
        assert problem(answer) == (403, "Forbidden")
    other, _ = await browser(vehicle, "POST", f"/driver/SECRET/{new_id()}", f"token={token}&decision=accept")
    assert problem(other) == (403, "Forbidden")
    guessed, _ = await browser(vehicle, "POST", f"/driver/guess/{UPDATE}", f"token={token}&decision=accept")
    assert problem(guessed) == (404, "Not Found")
    for form in (f"token={token}&decision=perhaps", f"token={token}&decision=defer&hours=99", "%"):
        answer, _ = await browser(vehicle, "POST", path, form)
        assert answer.status == 400
    assert vehicle.node.seen == []


@pytest.mark.whitelist("X-B10-8", "decided", "not_deferrable")
async def test_page_keeps_the_same_limits(vehicle: Vehicle, ivi: Offer) -> None:
    await ask(vehicle, ivi)
    token, path = await form_token(vehicle), f"/driver/SECRET/{UPDATE}"
    for _ in range(2):
        await browser(vehicle, "POST", path, f"token={token}&decision=defer&hours=1")

    exhausted, _ = await browser(vehicle, "POST", path, f"token={token}&decision=defer&hours=1")
    assert problem(exhausted) == (409, "Not Deferrable")
    page, _ = await browser(vehicle, "GET", "/driver/SECRET")
    assert b'value="defer"' not in page.body
    await browser(vehicle, "POST", path, f"token={token}&decision=decline")
    late, _ = await browser(vehicle, "POST", path, f"token={token}&decision=accept")
    assert problem(late) == (409, "Already Decided")
