"""B2 and B7, identities of vehicles: enrolled, renewed and revoked by the real Core; the test plays the node."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sota.boundaries.authority import Authority, make_request, prepare, retire, switch
from sota.core.identity import store
from sota.core.tables import enrolment_code, identity
from sota.kit.audit.model import RecordFilter
from sota.kit.http.paging import make_cursor
from sota.kit.security import x509
from sota.rvi.credentials import Rights, TrustAnchor
from tests.support.answer import Answer
from tests.support.core import RunningCore, running_core
from tests.support.edge import Answer as EdgeAnswer
from tests.support.names import new_vin
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
UNKNOWN = "WVW99999999999999"
REQUESTS = [make_request("a name that counts for nothing")[1] for _ in range(3)]


@pytest.fixture(scope="module")
async def core(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    folder = tmp_path_factory.mktemp("core")
    Authority.open(folder / "authority")
    async with running_core(database_url, folder, authority=folder / "authority") as started:
        yield started


@pytest.fixture
async def orphan(core: RunningCore) -> AsyncIterator[RunningCore]:
    """The same Core, without its authority's key for now."""
    key, aside = core.folder / "authority" / "root.key", core.folder / "authority" / "aside"
    key.rename(aside)
    yield core
    aside.rename(key)


async def register(core: RunningCore) -> str:
    vin = new_vin()
    assert (await core.web.send("POST", "/vehicles", {"vin": vin})).status == 200
    return vin


async def enrol(core: RunningCore, vin: str, request: str | None = None, **more: Any) -> Answer:
    body = {**({"request": request} if request else {}), **more}
    return await core.web.send("POST", f"/vehicles/{vin}/identities", body)


async def identities(core: RunningCore, vin: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await core.web.send("GET", f"/vehicles/{vin}/identities")).body
    return found


def revoked_file(core: RunningCore) -> list[str]:
    return (core.folder / "revoked.txt").read_text().split()


def fingerprint(answer: Answer) -> str:
    return x509.fingerprint(x509.read_pem(answer.body["certificate"].encode())[0])


def anchors(core: RunningCore) -> str:
    return Authority.open(core.folder / "authority").anchors_pem.decode()


async def renew(core: RunningCore, vin: str, credential: str, request: str | None = None, **more: Any) -> EdgeAnswer:
    known = hashlib.sha256(anchors(core).encode()).hexdigest()
    body = {"vin": vin, "anchors": known, **({"request": request} if request else {}), **more}
    return await core.edge.say(vin, "renew", body, credential=credential)


async def heard(core: RunningCore, vin: str) -> dict[str, Any]:
    """Return the last message to the vehicle about its identity."""
    body: dict[str, Any] = (await core.edge.expect(vin, "identity", after=len(core.edge.to(vin, "identity")) - 1)).body
    return body


@pytest.mark.whitelist("X-B2-30", "enrolled")
async def test_vehicle_gets_an_identity_for_its_own_vin_alone(core: RunningCore) -> None:
    vin = await register(core)
    answer = await enrol(core, vin)
    assert (answer.status, answer.body["message"], answer.body["revoked"]) == (200, "Vehicle enrolled", 0)
    assert answer.body["key"].startswith("-----BEGIN PRIVATE KEY-----")
    certificate = x509.read_pem(answer.body["certificate"].encode())[0]
    anchor = TrustAnchor(answer.body["anchors"].encode())
    now = datetime.now(UTC).timestamp()
    rights = Rights([anchor.read(answer.body["credential"], now=now, certificate=certificate)])
    assert rights.vin == vin == x509.common_name(certificate)
    assert rights.to_receive(f"genivi.org/vin/{vin}/sota/notify", now) is not None
    assert rights.to_invoke("genivi.org/backend/sota/start", now) is not None
    assert rights.to_invoke(f"genivi.org/vin/{UNKNOWN}/sota/notify", now) is None


async def test_vehicle_keeps_the_key_that_it_made(core: RunningCore) -> None:
    vin = await register(core)
    first = await enrol(core, vin, REQUESTS[0])
    assert (first.status, "key" in first.body) == (200, False)
    again = await enrol(core, vin, REQUESTS[0])
    assert again.body["identity_id"] == first.body["identity_id"]


async def test_request_that_is_none_is_refused(core: RunningCore) -> None:
    vin = await register(core)
    broken = REQUESTS[0].replace("M", "N", 1)
    assert [(await enrol(core, vin, text)).status for text in ("x", broken, "x" * 16_384)] == [400, 400, 400]
    assert await identities(core, vin) == []


@pytest.mark.whitelist("X-B2-30", "identity_exists")
async def test_second_identity_replaces_the_first_or_is_refused(core: RunningCore) -> None:
    vin = await register(core)
    first = await enrol(core, vin)
    refused = await enrol(core, vin)
    assert (refused.status, refused.body["title"]) == (409, "Vehicle has an identity")
    second = await enrol(core, vin, replace=True)
    assert (second.status, second.body["revoked"]) == (200, 1)
    assert fingerprint(first) in revoked_file(core)
    latest, former = await identities(core, vin)
    assert (former["revoked_because"], latest.get("revoked_at")) == ("replaced", None)
    assert former["credential_id"] in revoked_file(core)


@pytest.mark.whitelist("X-B2-30", "not_found")
@pytest.mark.whitelist("X-B2-31", "not_found")
@pytest.mark.whitelist("X-B2-32", "not_found")
@pytest.mark.whitelist("X-B2-34", "not_found")
async def test_unknown_vehicle_is_not_found(core: RunningCore) -> None:
    answers = [
        await enrol(core, UNKNOWN, REQUESTS[0]),
        await core.web.send("GET", f"/vehicles/{UNKNOWN}/identities"),
        await core.web.send("POST", f"/vehicles/{UNKNOWN}/enrolment-codes", {}),
        await core.web.send("POST", f"/vehicles/{UNKNOWN}/identities/revoke", {"reason": "lost"}),
    ]
    assert [(answer.status, answer.body["title"]) for answer in answers] == [(404, "Not Found")] * 4


@pytest.mark.whitelist("X-B2-30", "no_authority")
@pytest.mark.whitelist("X-B2-32", "no_authority")
@pytest.mark.whitelist("X-B2-33", "no_authority")
@pytest.mark.whitelist("X-B2-36", "no_authority")
async def test_core_without_an_authority_says_so(orphan: RunningCore) -> None:
    vin = await register(orphan)
    by_code = {"vin": vin, "code": "x" * 32, "request": REQUESTS[0]}
    answers = [
        await enrol(orphan, vin),
        await orphan.web.send("POST", f"/vehicles/{vin}/enrolment-codes", {}),
        await orphan.web.send("POST", "/enrolments", by_code),
        await orphan.web.send("GET", "/authority"),
    ]
    assert [(answer.status, answer.body["title"]) for answer in answers] == [(409, "No authority here")] * 4


@pytest.mark.whitelist("X-B2-31", "listed")
@pytest.mark.whitelist("X-B2-31", "empty")
async def test_identities_are_listed_page_by_page(core: RunningCore) -> None:
    vin = await register(core)
    empty = await core.web.send("GET", f"/vehicles/{vin}/identities")
    assert (empty.status, empty.body) == (200, [])
    ids = [(await enrol(core, vin, request, replace=True)).body["identity_id"] for request in REQUESTS]
    page = await core.web.send("GET", f"/vehicles/{vin}/identities", query={"limit": "2"})
    assert (page.status, [one["identity_id"] for one in page.body]) == (200, [ids[2], ids[1]])
    assert "cursor=" in page.headers["link"]
    assert [one["issued_by"] for one in page.body] == ["operator", "operator"]


async def code_for(core: RunningCore, vin: str) -> str:
    answer = await core.web.send("POST", f"/vehicles/{vin}/enrolment-codes", {"valid_s": 3600})
    assert (answer.status, answer.body["message"], answer.body["vin"]) == (200, "Code created", vin)
    return str(answer.body["code"])


async def by_code(core: RunningCore, vin: str, code: str, request: str = REQUESTS[0]) -> Answer:
    return await core.web.send("POST", "/enrolments", {"vin": vin, "code": code, "request": request})


@pytest.mark.whitelist("X-B2-32", "created")
@pytest.mark.whitelist("X-B2-33", "enrolled")
@pytest.mark.whitelist("X-B2-33", "code_refused")
async def test_a_code_counts_once_for_one_key(core: RunningCore) -> None:
    vin = await register(core)
    await enrol(core, vin, REQUESTS[1])
    code = await code_for(core, vin)
    enrolled = await by_code(core, vin, code)
    assert (enrolled.status, enrolled.body["message"], enrolled.body["revoked"]) == (200, "Vehicle enrolled", 1)
    assert "key" not in enrolled.body
    again = await by_code(core, vin, code)  # the answer was lost
    assert (again.status, again.body["identity_id"]) == (200, enrolled.body["identity_id"])
    other = await by_code(core, vin, code, REQUESTS[2])
    assert (other.status, other.body["title"]) == (403, "Enrolment refused")
    assert [one["issued_by"] for one in await identities(core, vin)] == ["code", "operator"]


@pytest.mark.whitelist("X-B2-33", "code_refused")
async def test_a_wrong_code_is_refused_in_the_same_words_whatever_is_wrong(core: RunningCore) -> None:
    vin, other = await register(core), await register(core)
    code, older = await code_for(core, vin), await code_for(core, other)
    newer = await code_for(core, other)
    late = await register(core)
    expired = await code_for(core, late)
    past = enrolment_code.update().where(enrolment_code.c.vin == late).values(expires_at=datetime.now(UTC))
    await core.db.transact(lambda tx: tx.execute(past))
    refused = [
        await by_code(core, vin, "x" * 32),
        await by_code(core, other, code),
        await by_code(core, other, older),
        await by_code(core, UNKNOWN, code),
        await by_code(core, late, expired),
    ]
    assert {(answer.status, answer.body["detail"]) for answer in refused} == {
        (403, "This code is wrong, used or expired: ask an operator for another one.")
    }
    assert (await by_code(core, other, newer)).status == 200


@pytest.mark.whitelist("X-B2-34", "revoked")
async def test_revoked_identities_are_on_the_list_at_once(core: RunningCore) -> None:
    vin = await register(core)
    enrolled = await enrol(core, vin)
    code = await code_for(core, vin)
    answer = await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "The unit was stolen."})
    body = {"message": "Identities revoked", "vin": vin, "revoked": 1, "barred": True}
    assert (answer.status, answer.body) == (200, body)
    assert {fingerprint(enrolled), vin} <= set(revoked_file(core))
    assert (await by_code(core, vin, code)).status == 403
    again = await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "again"})
    assert (again.body["revoked"], again.body["barred"]) == (0, True)
    (one,) = await identities(core, vin)
    assert one["revoked_because"] == "The unit was stolen."
    by_name = {"reason": "lost", "identity_id": one["identity_id"]}
    assert (await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", by_name)).status == 404


async def test_a_retired_vehicle_has_no_identity_any_more(core: RunningCore) -> None:
    vin, erased = await register(core), await register(core)
    first, second = await enrol(core, vin), await enrol(core, erased)
    assert (await core.web.send("DELETE", f"/vehicles/{vin}")).status == 200
    assert (await core.web.send("DELETE", f"/vehicles/{erased}", query={"erase": "true"})).status == 200

    async def look() -> bool:
        return {fingerprint(first), fingerprint(second)} <= set(revoked_file(core))

    await until(look, "the retired vehicles' certificates are on the list")
    (one,) = await identities(core, vin)
    assert one["revoked_because"] == "retired"
    assert (await enrol(core, vin)).status == 404
    async with core.db.read() as tx:
        assert list(await tx.execute(identity.select().where(identity.c.vin == erased))) == []


@pytest.mark.whitelist("X-B2-35", "listed")
async def test_revocation_list_is_read_page_by_page(core: RunningCore) -> None:
    vin = await register(core)
    await enrol(core, vin)
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "lost"})
    first = await core.web.send("GET", "/revocations", query={"limit": "1"})
    assert (first.status, len(first.body)) == (200, 1)
    assert "cursor=" in first.headers["link"]
    whole = await core.web.send("GET", "/revocations", query={"limit": "1000"})
    assert [one["entry"] for one in whole.body] == revoked_file(core) == sorted(revoked_file(core))


@pytest.mark.whitelist("X-B2-35", "empty")
async def test_what_has_expired_is_on_no_list(core: RunningCore) -> None:
    async with core.db.read() as tx:
        assert await store.list_revoked(tx, datetime.now(UTC) + timedelta(days=4000), 10) == []
    answer = await core.web.send("GET", "/revocations", query={"cursor": make_cursor("/api/v1/revocations", "zg")})
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B2-36", "found")
async def test_one_authority_takes_over_from_another(core: RunningCore) -> None:
    folder, vin = core.folder / "authority", await register(core)
    old = await enrol(core, vin, REQUESTS[0])
    credential = (await identities(core, vin))[0]["credential_id"]
    shown = await core.web.send("GET", "/authority")
    assert shown.status == 200
    (only,) = shown.body["entries"]
    assert (only["signing"], only["fingerprint"]) == (True, Authority.open(folder).issuer)
    before = hashlib.sha256(anchors(core).encode()).hexdigest()
    prepare(folder)
    assert (await renew(core, vin, credential, anchors=before))[0] == 200
    assert (await heard(core, vin)) == {"anchors": anchors(core)}
    switch(folder)
    state = (await core.web.send("GET", "/authority")).body
    assert [entry["signing"] for entry in state["entries"]] == [True, False]
    assert state["entries"][1]["identities"] >= 1
    assert (await renew(core, vin, credential))[0] == 200
    assert (await heard(core, vin)) == {"due": True}
    assert (await renew(core, vin, credential, REQUESTS[0]))[0] == 200
    new = x509.read_pem((await heard(core, vin))["certificate"].encode())[0]
    assert x509.fingerprint(new) != fingerprint(old)
    assert (await identities(core, vin))[0]["issuer"] == state["entries"][0]["fingerprint"]
    retire(folder)
    assert len((await core.web.send("GET", "/authority")).body["entries"]) == 1


@pytest.mark.whitelist("X-B7-30", "current")
async def test_vehicle_with_a_fresh_identity_hears_nothing(core: RunningCore) -> None:
    vin = await register(core)
    await enrol(core, vin, REQUESTS[0])
    credential = (await identities(core, vin))[0]["credential_id"]
    assert (await renew(core, vin, credential))[0] == 200
    assert core.edge.to(vin, "identity") == []


@pytest.mark.whitelist("X-B7-30", "renewed")
@pytest.mark.whitelist("X-B7-31", "received")
async def test_vehicle_is_told_in_time_and_gets_another_identity(core: RunningCore) -> None:
    vin = await register(core)
    await enrol(core, vin, REQUESTS[0])
    credential = (await identities(core, vin))[0]["credential_id"]
    soon = datetime.now(UTC) + timedelta(days=200)
    old = identity.update().where(identity.c.vin == vin)
    await core.db.transact(lambda tx: tx.execute(old.values(issued_at=soon - timedelta(days=825), expires_at=soon)))
    await renew(core, vin, credential)
    assert await heard(core, vin) == {"due": True}
    status, answer = await renew(core, vin, credential, REQUESTS[1])
    assert (status, answer["result"]["status"]) == (200, 0)
    first = await heard(core, vin)
    assert x509.common_name(x509.read_pem(first["certificate"].encode())[0]) == vin
    await renew(core, vin, credential, REQUESTS[1])  # the message was lost
    assert (await heard(core, vin))["certificate"] == first["certificate"]
    assert [one["issued_by"] for one in await identities(core, vin)] == ["renewal", "operator"]
    actions = [record.action async for record in core.program.audit.read_all(RecordFilter(actor=f"vehicle {vin}"))]
    assert {(action.interaction, action.outcome) for action in actions} == {("X-B7-30", "renewed")}


@pytest.mark.whitelist("X-B7-30", "too_soon")
async def test_vehicle_cannot_have_one_identity_after_another(core: RunningCore) -> None:
    vin = await register(core)
    await enrol(core, vin, REQUESTS[0])
    credential = (await identities(core, vin))[0]["credential_id"]
    assert (await renew(core, vin, credential, REQUESTS[1]))[0] == 200
    status, answer = await renew(core, vin, credential, REQUESTS[2])
    assert (status, answer["error"]["message"]) == (429, "Identity renewed recently")


async def test_a_vehicle_renews_its_own_identity_alone(core: RunningCore) -> None:
    vin, other = await register(core), await register(core)
    await enrol(core, vin, REQUESTS[0])
    body = {"vin": vin, "anchors": "0" * 64, "request": REQUESTS[1]}
    assert (await core.edge.say(vin, "renew", body, peer=other))[0] == 403
    assert (await core.edge.say(vin, "renew", body, peer=None))[0] == 403
    assert len(await identities(core, vin)) == 1


async def test_a_revoked_identity_renews_nothing(core: RunningCore) -> None:
    vin = await register(core)
    await enrol(core, vin, REQUESTS[0])
    credential = (await identities(core, vin))[0]["credential_id"]
    await core.web.send("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "stolen"})
    assert (await renew(core, vin, credential, REQUESTS[1]))[0] == 403


async def test_an_identity_issued_beside_core_is_renewed_by_what_it_says(core: RunningCore) -> None:
    vin = await register(core)
    late, early = (int((datetime.now(UTC) + timedelta(days=days)).timestamp()) for days in (800, 100))
    await renew(core, vin, "credential-of-old", expires_at=late)
    assert core.edge.to(vin, "identity") == []
    await renew(core, vin, "credential-of-old", expires_at=early)
    assert await heard(core, vin) == {"due": True}


@pytest.mark.parametrize("row", ["30", "31", "32", "33", "34", "35", "36"])
@pytest.mark.whitelist("X-B2-30", "unauthenticated")
@pytest.mark.whitelist("X-B2-31", "unauthenticated")
@pytest.mark.whitelist("X-B2-32", "unauthenticated")
@pytest.mark.whitelist("X-B2-33", "unauthenticated")
@pytest.mark.whitelist("X-B2-34", "unauthenticated")
@pytest.mark.whitelist("X-B2-35", "unauthenticated")
@pytest.mark.whitelist("X-B2-36", "unauthenticated")
async def test_identities_are_the_web_servers_alone(core: RunningCore, row: str) -> None:
    vin = "WVW00000000000001"
    asked: dict[str, tuple[str, str, Any]] = {
        "30": ("POST", f"/vehicles/{vin}/identities", {}),
        "31": ("GET", f"/vehicles/{vin}/identities", None),
        "32": ("POST", f"/vehicles/{vin}/enrolment-codes", {}),
        "33": ("POST", "/enrolments", {"vin": vin, "code": "x" * 32, "request": "x"}),
        "34": ("POST", f"/vehicles/{vin}/identities/revoke", {"reason": "x"}),
        "35": ("GET", "/revocations", None),
        "36": ("GET", "/authority", None),
    }
    answer = await core.stranger.send(*asked[row])
    assert (answer.status, answer.body["title"]) == (404, "Authentication Failed")
