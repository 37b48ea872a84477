"""B1: identities of vehicles, through the real Web Server and Core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sota.boundaries.authority import Authority, make_request
from sota.boundaries.interaction import Role
from sota.kit.http.paging import make_cursor
from sota.web.sessions.model import ENROLMENTS
from tests.conftest import new_database
from tests.support.answer import Answer
from tests.support.backend import Backend

UNKNOWN = "WVW99999999999999"
REQUEST = make_request("a vehicle")[1]


@pytest.fixture
def authority(backend: Backend) -> Iterator[None]:
    """Add Core's authority, which is absent without this fixture."""
    folder = backend.core.settings.authority
    Authority.open(folder)
    yield
    (folder / "root.key").unlink()
    (folder / "root.pem").unlink()


async def post(backend: Backend, path: str, body: Any, role: Role = Role.ADMIN) -> Answer:
    return await backend.ask("POST", f"/api/v1/{path}", body, role=role)


async def get(backend: Backend, path: str, **query: str) -> Answer:
    return await backend.ask("GET", f"/api/v1/{path}", role=Role.VIEWER, query=query)


@pytest.mark.whitelist("X-B1-80", "enrolled")
@pytest.mark.whitelist("X-B1-80", "identity_exists")
@pytest.mark.whitelist("X-B1-81", "listed")
@pytest.mark.usefixtures("authority")
async def test_vehicle_is_enrolled_once(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    enrolled = await post(backend, f"vehicles/{vin}/identities", {})
    assert (enrolled.status, enrolled.message, enrolled.body["vin"]) == (200, "Vehicle enrolled", vin)
    assert "PRIVATE KEY" in enrolled.body["key"]
    again = await post(backend, f"vehicles/{vin}/identities", {})
    assert (again.status, again.message) == (409, "Vehicle has an identity")
    listed = await get(backend, f"vehicles/{vin}/identities")
    assert (listed.status, [one["identity_id"] for one in listed.body]) == (200, [enrolled.body["identity_id"]])


@pytest.mark.whitelist("X-B1-81", "empty")
async def test_vehicle_that_was_never_enrolled_has_no_identities(backend: Backend) -> None:
    answer = await get(backend, f"vehicles/{await backend.with_vehicle()}/identities")
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B1-82", "created")
@pytest.mark.whitelist("X-B1-83", "enrolled")
@pytest.mark.whitelist("X-B1-83", "code_refused")
@pytest.mark.usefixtures("authority")
async def test_vehicle_enrols_itself_with_its_code(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    code = await post(backend, f"vehicles/{vin}/enrolment-codes", {})
    assert (code.status, code.message) == (200, "Code created")
    body = {"vin": vin, "code": code.body["code"], "request": REQUEST}
    wrong = await post(backend, "enrolments", {**body, "code": "x" * 32}, Role.PUBLIC)
    assert (wrong.status, wrong.message) == (403, "Enrolment refused")
    enrolled = await post(backend, "enrolments", body, Role.PUBLIC)
    assert (enrolled.status, enrolled.message, enrolled.body["vin"]) == (200, "Vehicle enrolled", vin)
    trail = await backend.ask("GET", "/api/v1/audit", role=Role.ADMIN, query={"interaction": "X-B1-83", "object": vin})
    assert [(entry["outcome"], entry["status"]) for entry in trail.body] == [("enrolled", 200)]


@pytest.mark.usefixtures("authority")
async def test_code_is_looked_at_before_what_is_to_be_signed(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    code = (await post(backend, f"vehicles/{vin}/enrolment-codes", {})).body["code"]
    body = {"vin": vin, "code": code, "request": "no request at all"}
    wrong = await post(backend, "enrolments", {**body, "code": "x" * 32}, Role.PUBLIC)
    assert (wrong.status, wrong.body["code"]) == (403, "code_refused")
    right = await post(backend, "enrolments", body, Role.PUBLIC)
    assert (right.status, right.body["code"]) == (400, "invalid")
    enrolled = await post(backend, "enrolments", {**body, "request": REQUEST}, Role.PUBLIC)
    assert enrolled.status == 200, "a slip uses no code up"


@pytest.mark.usefixtures("authority")
async def test_address_that_shows_wrong_codes_has_to_wait(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = "sqlite" if backend.web.db.is_sqlite else "mariadb"
    vin = await backend.with_vehicle()
    body = {"vin": vin, "code": "x" * 32, "request": REQUEST}
    async with backend.another(new_database(request, tmp_path_factory, engine)) as server:
        answers = [
            await server.ask("POST", "/api/v1/enrolments", body, role=Role.PUBLIC)
            for _ in range(ENROLMENTS.forgiven + 2)
        ]
    assert {answer.status for answer in answers[: ENROLMENTS.forgiven + 1]} == {403}
    assert (answers[-1].status, answers[-1].body["code"]) == (429, "too_many")
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.whitelist("X-B1-84", "revoked")
@pytest.mark.whitelist("X-B1-85", "listed")
@pytest.mark.usefixtures("authority")
async def test_identities_are_revoked(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    await post(backend, f"vehicles/{vin}/identities", {"request": REQUEST})
    revoked = await post(backend, f"vehicles/{vin}/identities/revoke", {"reason": "The unit was stolen."})
    body = {"message": "Identities revoked", "vin": vin, "revoked": 1, "barred": True}
    assert (revoked.status, revoked.body) == (200, body)
    listed = await get(backend, "revocations", limit="1000")
    (one,) = (await get(backend, f"vehicles/{vin}/identities")).body
    assert listed.status == 200
    assert {one["fingerprint"], one["credential_id"]} <= {entry["entry"] for entry in listed.body}


@pytest.mark.whitelist("X-B1-85", "empty")
async def test_revocation_list_ends(backend: Backend) -> None:
    answer = await get(backend, "revocations", cursor=make_cursor("/api/v1/revocations", "zg"))
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B1-86", "found")
@pytest.mark.usefixtures("authority")
async def test_authority_tells_its_trust_anchors(backend: Backend) -> None:
    answer = await get(backend, "authority")
    (entry,) = answer.body["entries"]
    assert (answer.status, entry["signing"]) == (200, True)
    assert answer.body["anchors"] == Authority.open(backend.core.settings.authority).anchors_pem.decode()


@pytest.mark.whitelist("X-B1-80", "no_authority")
@pytest.mark.whitelist("X-B1-82", "no_authority")
@pytest.mark.whitelist("X-B1-83", "no_authority")
@pytest.mark.whitelist("X-B1-86", "no_authority")
async def test_backend_without_an_authority_says_so(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    answers = [
        await post(backend, f"vehicles/{vin}/identities", {}),
        await post(backend, f"vehicles/{vin}/enrolment-codes", {}),
        await post(backend, "enrolments", {"vin": vin, "code": "x" * 32, "request": REQUEST}, Role.PUBLIC),
        await get(backend, "authority"),
    ]
    assert [(answer.status, answer.message) for answer in answers] == [(409, "No authority here")] * 4


@pytest.mark.whitelist("X-B1-80", "not_found")
@pytest.mark.whitelist("X-B1-81", "not_found")
@pytest.mark.whitelist("X-B1-82", "not_found")
@pytest.mark.whitelist("X-B1-84", "not_found")
@pytest.mark.usefixtures("authority")
async def test_unknown_vehicle_is_not_found(backend: Backend) -> None:
    answers = [
        await post(backend, f"vehicles/{UNKNOWN}/identities", {"request": REQUEST}),
        await get(backend, f"vehicles/{UNKNOWN}/identities"),
        await post(backend, f"vehicles/{UNKNOWN}/enrolment-codes", {}),
        await post(backend, f"vehicles/{UNKNOWN}/identities/revoke", {"reason": "lost"}),
    ]
    assert [(answer.status, answer.message) for answer in answers] == [(404, "Not Found")] * 4


@pytest.mark.parametrize("path", ["identities", "enrolment-codes", "identities/revoke"])
async def test_identities_are_an_admins_to_give(backend: Backend, path: str) -> None:
    answer = await post(backend, f"vehicles/{UNKNOWN}/{path}", {"reason": "x"}, Role.OPERATOR)
    assert answer.status == 403
