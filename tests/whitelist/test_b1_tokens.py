"""B1: API tokens and the audit trail, at the real Web Server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sota.boundaries.b1_browser_web.admin_client import AdminClient
from sota.boundaries.b1_browser_web.admin_messages import AccountRole, NewToken
from sota.boundaries.b1_browser_web.queries import ProgramAuditQuery, TrailOwner
from sota.boundaries.interaction import Http, Program, Role
from sota.boundaries.openapi import DOCUMENTED, document
from sota.boundaries.parameters import ListQuery
from sota.boundaries.table import TABLE, rows_for
from sota.kit.audit.tables import OPEN
from sota.kit.http.paging import make_cursor
from sota.web.accounts.service import change_account
from tests.support.backend import Backend, Server
from tests.support.names import new_name, new_vin
from tests.support.tokens import PASSWORD, by_token, own_token, with_account

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
PATHS: dict[str, dict[str, Any]] = document(DOCUMENTED["web"])["paths"]
KNOWN = {
    "vin": "WVWZZZ1KZ7W000001",
    "id": NOWHERE,
    "name": "nothing",
    "version": "1.0.0",
    "user": "nobody",
    "group": "nothing",
    "filter": "nothing",
}
CHANGES = sorted(
    {
        (row.way.method, row.way.path)
        for row in rows_for(Program.WEB_SERVER)
        if row.boundary == "B1" and isinstance(row.way, Http) and row.way.method not in ("GET", "HEAD")
    }
)
# A caller with a one-time code shows it instead of a token; Core's own trail has the identity that it gave.
BY_CODE = ("POST", "/api/v1/enrolments")
ASKED = {(row.way.method, row.way.path) for row in TABLE.values() if isinstance(row.way, Http) and row.way.read_only}
DEEDS = [case for case in CHANGES if case[1].startswith("/api/") and case != BY_CODE and case not in ASKED]


async def admin(server: Server) -> AdminClient:
    return AdminClient(await server.client(Role.ADMIN))


@pytest.mark.whitelist("X-B1-51", "created")
@pytest.mark.whitelist("X-B1-50", "listed")
async def test_own_token_is_made_in_a_session_and_shown_once(backend: Backend) -> None:
    name, _ = await with_account(backend, Role.OPERATOR)
    browser = backend.browser()
    await browser.sign_in(name, PASSWORD, as_json=True)
    body = {"name": "nightly", "role": "viewer"}
    made = await browser.request("POST", "/api/v1/tokens", body=body)
    assert (made.status, b'"message":"Token created"' in made.body) == (200, True)
    token = made.body.split(b'"token":"')[1].split(b'"')[0].decode()
    assert (await by_token(backend, token, "GET", "/api/v1/vehicles")).status == 200
    assert (await by_token(backend, token, "POST", "/api/v1/filters", {})).status == 403
    await backend.web.token_uses.write()
    listed = await by_token(backend, token, "GET", "/api/v1/tokens")
    assert listed.status == 200
    (entry,) = listed.body
    assert (entry["name"], entry["role"], entry["account"]) == ("nightly", "viewer", name)
    assert entry["last_used_at"] is not None
    left = datetime.fromisoformat(entry["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)
    assert token not in str(listed.body)


@pytest.mark.whitelist("X-B1-51", "above_own_role")
@pytest.mark.parametrize("service", [True, False])
async def test_no_user_makes_a_token_with_a_higher_role(backend: Backend, service: bool) -> None:
    _, account_id = await with_account(backend, Role.OPERATOR)
    token = await own_token(backend, account_id, Role.OPERATOR)
    body = {"name": "more", "role": "viewer" if service else "admin", "service": service}
    answer = await by_token(backend, token, "POST", "/api/v1/tokens", body)
    assert (answer.status, answer.message) == (403, "Above your own role")


async def test_token_makes_none_that_may_more_or_outlives_it(backend: Backend) -> None:
    _, account_id = await with_account(backend, Role.ADMIN)
    token = await own_token(backend, account_id, Role.VIEWER, days=2)
    more = await by_token(backend, token, "POST", "/api/v1/tokens", {"name": "more", "role": "admin"})
    assert more.status == 403
    made = await by_token(backend, token, "POST", "/api/v1/tokens", {"name": "longer", "role": "viewer", "days": 366})
    assert datetime.fromisoformat(made.body["expires_at"]) - datetime.now(UTC) < timedelta(days=2)


@pytest.mark.whitelist("X-B1-51", "no_account")
async def test_service_makes_no_token_of_its_own(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/tokens", {"name": "own", "role": "viewer"})
    assert (answer.status, answer.message) == (409, "No account")


@pytest.mark.parametrize("days", [0, 367])
async def test_token_is_valid_for_a_year_at_most(backend: Backend, days: int) -> None:
    body = {"name": "long", "role": "viewer", "service": True, "days": days}
    assert (await backend.ask("POST", "/api/v1/tokens", body, role=Role.ADMIN)).status == 400


async def test_token_may_what_its_owner_may_now(backend: Backend) -> None:
    name, account_id = await with_account(backend, Role.OPERATOR)
    token = await own_token(backend, account_id, Role.OPERATOR)
    body = {"name": new_name("filter"), "expression": "TRUE"}
    assert (await by_token(backend, token, "POST", "/api/v1/filters", body)).status == 200
    await change_account(backend.web.db, name, role=Role.VIEWER)
    assert (await by_token(backend, token, "POST", "/api/v1/filters", body)).status == 403
    await change_account(backend.web.db, name, disabled=True)
    assert (await by_token(backend, token, "GET", "/api/v1/vehicles")).status == 401


async def test_token_ends(backend: Backend) -> None:
    _, account_id = await with_account(backend, Role.OPERATOR)
    token = await own_token(backend, account_id, Role.OPERATOR, days=-1)
    assert (await by_token(backend, token, "GET", "/api/v1/vehicles")).status == 401


@pytest.mark.whitelist("X-B1-52", "revoked")
async def test_admin_makes_and_revokes_a_services_token(backend: Backend) -> None:
    api = await admin(backend)
    made = await api.new_token(NewToken(name=new_name("service"), role=AccountRole.OPERATOR, service=True))
    assert (await by_token(backend, made.token, "GET", "/api/v1/vehicles")).status == 200
    found = [token for token in (await api.tokens(ListQuery(limit=1000))).items if token.id == made.id]
    assert [token.account for token in found] == [None]
    answer = await backend.ask("DELETE", f"/api/v1/tokens/{made.id}", role=Role.ADMIN)
    assert (answer.status, answer.message) == (200, "Token revoked")
    assert (await by_token(backend, made.token, "GET", "/api/v1/vehicles")).status == 401


@pytest.mark.whitelist("X-B1-52", "not_found")
async def test_tokens_of_others_are_out_of_reach(backend: Backend) -> None:
    api = await admin(backend)
    made = await api.new_token(NewToken(name=new_name("service"), role=AccountRole.VIEWER, service=True))
    _, account_id = await with_account(backend, Role.OPERATOR)
    token = await own_token(backend, account_id, Role.OPERATOR)
    for answer in (
        await by_token(backend, token, "DELETE", f"/api/v1/tokens/{made.id}"),
        await backend.ask("DELETE", f"/api/v1/tokens/{made.id}", role=Role.OPERATOR),  # a service too
        await backend.ask("DELETE", f"/api/v1/tokens/{NOWHERE}", role=Role.ADMIN),
    ):
        assert (answer.status, answer.message) == (404, "Not Found")
    assert (await by_token(backend, made.token, "GET", "/api/v1/vehicles")).status == 200


@pytest.mark.whitelist("X-B1-50", "empty")
async def test_service_has_no_tokens_of_its_own(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/tokens", role=Role.OPERATOR)
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B1-53", "listed")
async def test_audit_trail_tells_who_did_what(backend: Backend) -> None:
    await backend.with_vehicle()
    vin = await backend.with_vehicle()
    api = await admin(backend)
    assert (await backend.ask("GET", "/api/v1/audit", role=Role.ADMIN)).status == 200
    (record,) = (await api.audit(ProgramAuditQuery(object=vin))).items
    assert (record.actor, record.interaction, record.object) == (
        "token:tests-operator",
        "WL-B1-4",
        f"vehicles vin={vin}",
    )
    assert (record.outcome, record.status, record.address) == ("inserted", 200, "127.0.0.1")
    page = await api.audit(
        ProgramAuditQuery(actor="token:tests-operator", interaction="WL-B1-4", since=record.at, limit=1)
    )
    assert page.items[0].number >= record.number
    assert (await api.audit(ProgramAuditQuery(object=vin, until=record.at))).items == []
    first = await api.audit(ProgramAuditQuery(limit=1))
    second = await api.audit(ProgramAuditQuery(limit=1, cursor=first.cursor))
    assert second.items[0].number == first.items[0].number - 1
    assert first.items[0].previous_hash == second.items[0].hash


async def test_audit_trail_tells_who_made_a_request_and_of_what(backend: Backend) -> None:
    api, packages = await admin(backend), [await backend.with_targeted_package() for _ in range(2)]
    interval = {"start": "2030-01-01T00:00:00Z", "end": "2031-01-01T00:00:00Z"}
    orders: list[dict[str, Any]] = [
        {
            "package": dict(zip(("name", "version"), package.split("/"), strict=True)),
            "priority": 9,
            "interval": interval,
        }
        for package in packages
    ]
    campaign = {"package": orders[1]["package"], "priority": 9, **interval}
    bodies = {"install-requests": orders[0], "install-requests/batch": orders, "campaigns": campaign}
    made = [
        (await backend.ask("POST", f"/api/v1/{path}", body)).body["install_request_id"] for path, body in bodies.items()
    ]
    told = [(await api.audit(ProgramAuditQuery(object=request_id))).items for request_id in made]
    one, several = f"package={packages[0]}", f"2 entries package={packages[0]} package={packages[1]}"
    assert [record.object for (record,) in told[:2]] == [
        f"install-requests {one} install_request_id={made[0]}",
        f"install-requests/batch {several} install_request_id={made[1]}",
    ]
    assert {record.actor for (record,) in told} == {"token:tests-operator"}
    await backend.ask("POST", f"/api/v1/install-requests/{made[0]}/cancel")
    assert (await api.audit(ProgramAuditQuery(object=made[0]))).items[0].object == f"install-requests/{made[0]}/cancel"
    await backend.ask("PUT", f"/api/v1/packages/{packages[0]}/blacklist", {"comment": "no"}, query={"stop": "true"})
    (stopped, *_) = (await api.audit(ProgramAuditQuery(object=f"{packages[0]}/blacklist"))).items
    assert stopped.object == f"packages/{packages[0]}/blacklist stop=true"


@pytest.mark.whitelist("X-B1-53", "empty")
async def test_audit_trail_ends(backend: Backend) -> None:
    query = {"cursor": make_cursor("/api/v1/audit", 1)}
    answer = await backend.ask("GET", "/api/v1/audit", role=Role.ADMIN, query=query)
    assert (answer.status, answer.body) == (200, [])
    too_far = {"cursor": make_cursor("/api/v1/audit", 1 << 70)}
    no_moment = {"since": "0001-01-01T00:00:00+23:59"}
    for bad in (too_far, no_moment, {"since": "yesterday"}, {"until": "2026-03-01"}, {"cursor": "x"}, {"limit": "0"}):
        assert (await backend.ask("GET", "/api/v1/audit", role=Role.ADMIN, query=bad)).status == 400


@pytest.mark.whitelist("X-B1-54", "checked")
async def test_audit_trail_is_checked(backend: Backend) -> None:
    await backend.with_vehicle()
    answer = await backend.ask("GET", "/api/v1/audit/verify", role=Role.ADMIN)
    assert answer.status == 200
    assert (answer.body["holds"], answer.body["broken"], answer.body["broken_at"]) == (True, None, None)
    assert answer.body["records"] >= 1


async def test_web_server_shows_admins_the_trails_of_all_three(backend: Backend) -> None:
    await backend.with_vehicle()
    vin = await backend.with_vehicle()
    api = await admin(backend)
    for program, interaction in (("web", "WL-B1-4"), ("core", "WL-B2-2"), ("resolver", "WL-B3-2")):
        (record,) = (await api.audit(ProgramAuditQuery(program=TrailOwner(program), object=vin))).items
        assert (record.interaction, record.outcome) == (interaction, "inserted")
        assert (await api.verify_audit(TrailOwner(program))).holds
    page = await api.audit(ProgramAuditQuery(program=TrailOwner.CORE, limit=1))
    following = await api.audit(ProgramAuditQuery(program=TrailOwner.CORE, limit=1, cursor=page.cursor))
    assert following.items[0].number == page.items[0].number - 1
    for path in ("/api/v1/audit", "/api/v1/audit/verify"):
        answer = await backend.ask("GET", path, role=Role.ADMIN, query={"program": "node"})
        assert answer.status == 400
        assert answer.body["detail"] == "program must be one of web, core, resolver, not 'node'."
        refused = await backend.ask("GET", path, role=Role.OPERATOR, query={"program": "core"})
        assert refused.status == 403


def body_of(method: str, path: str) -> Any:
    content = PATHS[path][method.lower()].get("requestBody", {}).get("content", {})
    return next(iter(content.values())).get("example") if content else None


@pytest.mark.parametrize("role", [Role.ADMIN, Role.VIEWER])
@pytest.mark.parametrize(("method", "path"), DEEDS)
async def test_each_change_and_each_refused_one_leaves_one_record(
    backend: Backend, method: str, path: str, role: Role
) -> None:
    api = await admin(backend)
    known = {
        name: KNOWN.get(name, "nothing") for name in ("vin", "id", "name", "version", "user", "part_number", "filter")
    }
    await backend.client(role)
    before = (await api.audit(ProgramAuditQuery(limit=1))).items
    answer = await backend.ask(method, path.format_map({**known, **KNOWN}), body_of(method, path), role=role)
    last = before[0].number if before else 0
    (record,) = [record for record in (await api.audit(ProgramAuditQuery(limit=10))).items if record.number > last]
    rows = {row.id for row in rows_for(Program.WEB_SERVER) if getattr(row.way, "path", "") == path}
    assert (record.actor, record.status) == (f"token:tests-{role}", answer.status)
    assert record.interaction in rows
    assert record.object
    assert record.outcome


async def test_nothing_is_begun_that_cannot_be_told(backend: Backend) -> None:
    api, vin = await admin(backend), new_vin()
    await backend.web.db.transact(lambda tx: tx.execute(sa.text("ALTER TABLE audit_open RENAME TO audit_away")))
    try:
        answer = await backend.ask("POST", "/api/v1/vehicles", {"vin": vin})
    finally:
        await backend.web.db.transact(lambda tx: tx.execute(sa.text("ALTER TABLE audit_away RENAME TO audit_open")))
    assert answer.status == 503
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}")).status == 404
    assert [record.outcome for record in (await api.audit(ProgramAuditQuery(object=vin))).items] == ["unavailable"]
    async with backend.web.db.read() as tx:
        assert (await tx.execute(sa.select(OPEN.c.id))).all() == [], "what has ended is no longer open"


def test_walk_knows_every_change() -> None:
    assert {case for case in CHANGES if not case[1].startswith("/api/")} == {
        ("POST", "/login"),
        ("POST", "/logout"),
        ("POST", "/password"),
    }


@pytest.mark.parametrize("as_json", [True, False])
async def test_signing_in_and_out_leaves_one_record_each_and_no_secret(backend: Backend, as_json: bool) -> None:
    name, _ = await with_account(backend, Role.ADMIN)
    api, browser, new = await admin(backend), backend.browser(), "another password of these tests"
    before = (await api.audit(ProgramAuditQuery(limit=1))).items
    last = before[0].number if before else 0
    wrong, unknown = "a wrong password", "a-password-in-the-field-of-the-name"
    await browser.sign_in(name, wrong, as_json=as_json)
    await browser.sign_in(unknown, wrong, as_json=as_json)
    await browser.sign_in(name, PASSWORD, as_json=as_json)
    await browser.password_page()
    await browser.change_password(wrong, new)
    await browser.change_password(PASSWORD, new)
    await browser.console()
    body = {"name": "secretive", "role": "viewer"}
    made = await browser.request("POST", "/api/v1/tokens", body=body)
    csrf, cookies = browser.csrf_token, list(browser.cookies.values())
    browser.csrf_token = "guessed"
    await browser.request("POST", "/api/v1/tokens", body=body)
    browser.csrf_token = csrf
    await browser.sign_out()
    token = made.body.split(b'"token":"')[1].split(b'"')[0].decode()
    user = await backend.ask("POST", "/api/v1/users", {"name": new_name("user"), "role": "viewer"}, role=Role.ADMIN)
    records = sorted((await api.audit(ProgramAuditQuery(limit=20))).items, key=lambda record: record.number)
    told = [(r.actor, r.object, r.outcome, r.status) for r in records if r.number > last]
    assert told[:-1] == [
        ("nobody", f"sign-in {name}", "denied", 401),
        ("nobody", "sign-in", "denied", 401),
        (name, "sign-in", "signed_in", 200),
        (name, "own password", "denied", 403),
        (name, "own password", "changed", 303),
        (name, f"tokens name=secretive role=viewer id={json.loads(made.body)['id']}", "created", 200),
        (name, "tokens", "forbidden", 403),
        (name, "sign-out", "signed_out", 303),
    ]
    secrets = [PASSWORD, new, wrong, unknown, token, csrf, user.body["password"], *cookies]
    whole = str(records)
    assert [secret for secret in secrets if secret in whole] == []
