"""B1: accounts, one's own password and sessions, at the real Web Server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from sota.boundaries.b1_browser_web.admin_client import AdminClient
from sota.boundaries.b1_browser_web.admin_messages import AccountRole, NewUser, UserChange
from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.interaction import Role
from sota.boundaries.parameters import ListQuery
from sota.kit.errors import Refused
from sota.kit.http.paging import make_cursor
from sota.web.accounts.service import add_account, issue_token
from sota.web.accounts.store import find_account
from sota.web.program import WebProgram
from sota.web.settings import WebSettings
from tests.conftest import new_database
from tests.support.backend import Backend, Server
from tests.support.names import new_name

PASSWORD = "a password of these tests"
ANOTHER = "another password of these tests"


async def admin(server: Server) -> AdminClient:
    return AdminClient(await server.client(Role.ADMIN))


async def with_account(server: Server, role: Role = Role.OPERATOR) -> str:
    name = new_name("user")
    await add_account(server.web.db, name, role, PASSWORD)
    return name


async def signed_in(server: Server, name: str, password: str = PASSWORD) -> Browser:
    browser = server.browser()
    answer = await browser.sign_in(name, password, as_json=True)
    assert answer.status == 200, answer
    return browser


@pytest.fixture
async def fresh(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A Web Server whose first account still has its generated password."""
    engine = "sqlite" if backend.web.db.is_sqlite else "mariadb"
    changes = {"database": new_database(request, tmp_path_factory, engine), "data": tmp_path_factory.mktemp("web")}
    server = Server(WebProgram(WebSettings(**{**backend.settings, **changes})))
    await server.web.start()
    yield server
    await server.stop()


async def test_generated_password_must_be_changed_before_anything_else(fresh: Server) -> None:
    assert fresh.web.first_password is not None
    browser = fresh.browser()
    page = await browser.sign_in("admin", fresh.web.first_password)
    assert page.status == 200
    assert b"<h1>Change your password</h1>" in page.body
    for other in (await browser.console(), await browser.html("index"), await browser.password_page()):
        assert other.status == 200
        assert b"<h1>Change your password</h1>" in other.body
        assert b"Install requests" not in other.body
    documents = await browser.api_page()
    assert (documents.status, documents.headers["location"]) == (301, "/password")
    for method, path in (("GET", "/api/v1/vehicles"), ("POST", "/api/v1/filters"), ("GET", "/api/v1/users")):
        refused = await browser.request(method, path, body={} if method == "POST" else None)
        assert refused.status == 403
        assert b'"code":"password_change_due"' in refused.body
    done = await browser.change_password(fresh.web.first_password, ANOTHER)
    assert (done.status, done.headers["location"]) == (303, "/")
    console = await browser.console()
    assert b"Install requests" in console.body
    assert (await browser.request("GET", "/api/v1/users")).status == 200
    assert (await fresh.browser().sign_in("admin", fresh.web.first_password)).status == 401


async def test_generated_password_can_be_changed_as_json(fresh: Server) -> None:
    assert fresh.web.first_password is not None
    browser = fresh.browser()
    answer = await browser.sign_in("admin", fresh.web.first_password, as_json=True)
    assert b'"password_change_due":true' in answer.body
    change = {"old_password": fresh.web.first_password, "new_password": ANOTHER}
    assert (await browser.request("PUT", "/api/v1/account/password", body=change)).status == 200
    assert (await browser.request("GET", "/api/v1/users")).status == 200


async def test_user_who_must_change_the_password_can_sign_out(fresh: Server) -> None:
    assert fresh.web.first_password is not None
    browser = fresh.browser()
    await browser.sign_in("admin", fresh.web.first_password)
    assert (await browser.sign_out()).status == 303


@pytest.mark.whitelist("X-B1-40", "served")
async def test_password_page_is_served(backend: Backend) -> None:
    browser = await signed_in(backend, await with_account(backend))
    page = await browser.password_page()
    assert page.status == 200
    assert b'name="new_password_again"' in page.body
    assert re.search(rb"<script|<style|\sstyle=|\son[a-z]+=", page.body) is None


@pytest.mark.whitelist("X-B1-40", "redirected")
@pytest.mark.whitelist("X-B1-41", "redirected")
async def test_password_page_is_for_every_signed_in_user(backend: Backend) -> None:
    for answer in (await backend.browser().password_page(), await backend.browser().change_password("x", ANOTHER)):
        assert (answer.status, answer.headers["location"]) == (301, "/login")


@pytest.mark.whitelist("X-B1-41", "changed")
async def test_password_is_changed_by_the_form_and_other_sessions_end(backend: Backend) -> None:
    name = await with_account(backend)
    browser, elsewhere = await signed_in(backend, name), await signed_in(backend, name)
    before = browser.cookies["__Host-sota"]
    await browser.password_page()
    answer = await browser.change_password(PASSWORD, ANOTHER)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert browser.cookies["__Host-sota"] != before
    assert (await browser.console()).status == 200
    assert (await elsewhere.console()).status == 301
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 401


@pytest.mark.whitelist("X-B1-41", "denied")
@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [
        ("not the password", ANOTHER, None, b"The old password is wrong."),
        (PASSWORD, "too short", None, b"12 to 1000 characters"),
        (PASSWORD, PASSWORD, None, b"The new password is the old one."),
        (PASSWORD, ANOTHER, "something else", b"not entered alike twice"),
    ],
)
async def test_password_form_says_what_is_wrong(
    backend: Backend, old: str, new: str, again: str | None, said: bytes
) -> None:
    name = await with_account(backend)
    browser = await signed_in(backend, name)
    answer = await browser.change_password(old, new, again=again)
    assert answer.status == 403
    assert b"Password not changed. " in answer.body
    assert said in answer.body
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 200


async def test_password_form_needs_the_csrf_token_and_our_own_page(backend: Backend) -> None:
    name = await with_account(backend)
    browser = await signed_in(backend, name)
    browser.csrf_token = "guessed"
    assert (await browser.change_password(PASSWORD, ANOTHER)).status == 403
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 200


@pytest.mark.whitelist("X-B1-42", "changed", "wrong_password")
async def test_password_is_changed_as_json(backend: Backend) -> None:
    name = await with_account(backend, Role.VIEWER)
    browser, elsewhere = await signed_in(backend, name), await signed_in(backend, name)
    change = {"old_password": "not the password", "new_password": ANOTHER}
    wrong = await browser.request("PUT", "/api/v1/account/password", body=change)
    assert (wrong.status, b'"title":"Wrong password"' in wrong.body) == (403, True)
    right = await browser.request("PUT", "/api/v1/account/password", body={**change, "old_password": PASSWORD})
    assert (right.status, b'"message":"Password changed"' in right.body) == (200, True)
    assert (await browser.console()).status == 200
    assert (await elsewhere.console()).status == 301


async def test_old_password_cannot_be_guessed_in_an_open_session(backend: Backend) -> None:
    browser = await signed_in(backend, await with_account(backend))
    change = {"old_password": "guess", "new_password": ANOTHER}
    with backend.clock.held():
        answers = [await browser.request("PUT", "/api/v1/account/password", body=change) for _ in range(7)]
    assert answers[0].status == 403
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.whitelist("X-B1-42", "no_account")
@pytest.mark.whitelist("X-B1-43", "no_account")
@pytest.mark.whitelist("X-B1-44", "no_account")
async def test_service_has_neither_password_nor_sessions(backend: Backend) -> None:
    change = {"old_password": PASSWORD, "new_password": ANOTHER}
    for method, path, body in (
        ("PUT", "/api/v1/account/password", change),
        ("GET", "/api/v1/account/sessions", None),
        ("DELETE", "/api/v1/account/sessions", None),
    ):
        answer = await backend.ask(method, path, body)
        assert (answer.status, answer.message) == (409, "No account")


@pytest.mark.whitelist("X-B1-43", "listed")
@pytest.mark.whitelist("X-B1-44", "signed_out")
async def test_sessions_are_listed_and_all_ended(backend: Backend) -> None:
    name = await with_account(backend, Role.VIEWER)
    browser, elsewhere = await signed_in(backend, name), await signed_in(backend, name)
    listed = await browser.request("GET", "/api/v1/account/sessions")
    assert listed.status == 200
    assert (listed.body.count(b'"address"'), listed.body.count(b'"current":true')) == (2, 1)
    assert not [cookie for cookie in (*browser.cookies.values(), "hash") if cookie.encode() in listed.body]
    ended = await browser.request("DELETE", "/api/v1/account/sessions")
    assert (ended.status, b'"message":"Signed out everywhere"' in ended.body) == (200, True)
    assert (await browser.console()).status == 301
    assert (await elsewhere.console()).status == 301


@pytest.mark.whitelist("X-B1-43", "empty")
async def test_account_without_sessions_has_an_empty_list(backend: Backend) -> None:
    name = await with_account(backend, Role.VIEWER)
    found = await (await admin(backend)).user(name)
    assert found.sessions == 0
    account_id = await id_of(backend, name)
    token = await issue_token(backend.web.db, Role.VIEWER, new_name("token"), account_id=account_id)
    answer = await backend.ask(
        "GET", "/api/v1/account/sessions", role=Role.PUBLIC, headers={"authorization": f"Bearer {token}"}
    )
    assert (answer.status, answer.body) == (200, [])


async def id_of(server: Server, name: str) -> UUID:
    async with server.web.db.read() as tx:
        account = await find_account(tx, name)
    assert account is not None
    return account.id


@pytest.mark.whitelist("X-B1-46", "created")
async def test_made_account_gets_a_password_once_and_must_change_it(backend: Backend) -> None:
    name = new_name("user")
    answer = await backend.ask("POST", "/api/v1/users", {"name": name, "role": "viewer"}, role=Role.ADMIN)
    assert (answer.status, answer.message) == (200, "Account created")
    browser = backend.browser()
    signed = await browser.sign_in(name, answer.body["password"], as_json=True)
    assert b'"password_change_due":true' in signed.body
    assert (await browser.request("GET", "/api/v1/vehicles")).status == 403


async def test_password_that_an_admin_chose_must_be_changed_too(backend: Backend) -> None:
    name = new_name("user")
    created = await (await admin(backend)).new_user(NewUser(name=name, role=AccountRole.VIEWER, password=PASSWORD))
    assert created.password is None
    signed = await backend.browser().sign_in(name, PASSWORD, as_json=True)
    assert b'"password_change_due":true' in signed.body


@pytest.mark.whitelist("X-B1-46", "user_exists")
async def test_account_is_made_once(backend: Backend) -> None:
    body = {"name": await with_account(backend), "role": "viewer"}
    answer = await backend.ask("POST", "/api/v1/users", body, role=Role.ADMIN)
    assert (answer.status, answer.message) == (409, "Account already exists")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "with space", "role": "viewer"},
        {"name": "bob", "role": "public"},
        {"name": "bob", "role": "viewer", "password": "too short"},
        {"name": "bob"},
        {"name": "bob", "role": "viewer", "admin": True},
    ],
)
async def test_odd_account_is_refused(backend: Backend, body: dict[str, object]) -> None:
    assert (await backend.ask("POST", "/api/v1/users", body, role=Role.ADMIN)).status == 400


@pytest.mark.whitelist("X-B1-45", "listed")
@pytest.mark.whitelist("X-B1-47", "found")
async def test_accounts_are_listed_without_their_secrets(backend: Backend) -> None:
    names = sorted([await with_account(backend) for _ in range(3)])
    api = await admin(backend)
    page = await api.users(ListQuery(limit=2))
    found = list(page.items)
    while page.cursor is not None:
        page = await api.users(ListQuery(limit=2, cursor=page.cursor))
        found += page.items
    assert {"admin", *names} <= {user.name for user in found}
    assert [user.name for user in found] == sorted(user.name for user in found)
    assert (await api.user(names[0])).role == "operator"
    answer = await backend.ask("GET", f"/api/v1/users/{names[0]}", role=Role.ADMIN)
    assert answer.status == 200
    assert (await backend.ask("GET", "/api/v1/users", role=Role.ADMIN)).status == 200
    assert not [key for key in answer.body if "hash" in key or key == "password"]


@pytest.mark.whitelist("X-B1-45", "empty")
async def test_list_of_accounts_ends(backend: Backend) -> None:
    answer = await backend.ask(
        "GET", "/api/v1/users", role=Role.ADMIN, query={"cursor": make_cursor("/api/v1/users", "~")}
    )
    assert (answer.status, answer.body) == (200, [])


@pytest.mark.whitelist("X-B1-47", "not_found")
@pytest.mark.whitelist("X-B1-48", "not_found")
@pytest.mark.whitelist("X-B1-49", "not_found")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_unknown_account(backend: Backend, method: str) -> None:
    body = {"disabled": True} if method == "PUT" else None
    answer = await backend.ask(method, "/api/v1/users/no-such-user", body, role=Role.ADMIN)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.whitelist("X-B1-48", "changed")
async def test_changed_role_ends_sessions(backend: Backend) -> None:
    name = await with_account(backend, Role.OPERATOR)
    browser = await signed_in(backend, name)
    answer = await backend.ask("PUT", f"/api/v1/users/{name}", {"role": "viewer"}, role=Role.ADMIN)
    assert (answer.status, answer.message) == (200, "Account changed")
    assert (await browser.console()).status == 301
    browser = await signed_in(backend, name)
    body = {"name": new_name("filter"), "expression": "TRUE"}
    assert (await browser.request("POST", "/api/v1/filters", body=body)).status == 403


async def test_disabled_account_is_out_until_it_is_enabled(backend: Backend) -> None:
    name, api = await with_account(backend), await admin(backend)
    browser = await signed_in(backend, name)
    await api.change_user(name, UserChange(disabled=True))
    assert (await browser.console()).status == 301
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 401
    await api.change_user(name, UserChange(disabled=False))
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 200


async def test_forgotten_password_is_replaced_by_a_generated_one(backend: Backend) -> None:
    name = await with_account(backend)
    changed = await (await admin(backend)).change_user(name, UserChange(reset_password=True))
    assert changed.password is not None
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 401
    signed = await backend.browser().sign_in(name, changed.password, as_json=True)
    assert b'"password_change_due":true' in signed.body


@pytest.mark.whitelist("X-B1-49", "deleted")
async def test_deleted_account_is_gone_with_its_sessions(backend: Backend) -> None:
    name = await with_account(backend)
    browser = await signed_in(backend, name)
    answer = await backend.ask("DELETE", f"/api/v1/users/{name}", role=Role.ADMIN)
    assert (answer.status, answer.message) == (200, "Account deleted")
    assert (await browser.console()).status == 301
    assert (await backend.browser().sign_in(name, PASSWORD)).status == 401


@pytest.mark.whitelist("X-B1-48", "last_admin")
@pytest.mark.whitelist("X-B1-49", "last_admin")
async def test_last_admin_stays(cut_off: Server) -> None:
    for method, body in (("PUT", {"role": "viewer"}), ("PUT", {"disabled": True}), ("DELETE", None)):
        answer = await cut_off.ask(method, "/api/v1/users/admin", body, role=Role.ADMIN)
        assert (answer.status, answer.message) == (409, "Last admin")
    other = await with_account(cut_off, Role.ADMIN)
    api = await admin(cut_off)
    results = await asyncio.gather(api.delete_user("admin"), api.delete_user(other), return_exceptions=True)
    assert [isinstance(result, Refused) for result in results].count(True) == 1, results


@pytest.mark.parametrize("role", [Role.PUBLIC, Role.VIEWER, Role.OPERATOR])
async def test_accounts_are_for_admins(backend: Backend, role: Role) -> None:
    for method, path in (
        ("GET", "/api/v1/users"),
        ("POST", "/api/v1/users"),
        ("PUT", "/api/v1/users/admin"),
        ("DELETE", "/api/v1/users/admin"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/audit/verify"),
    ):
        assert (await backend.ask(method, path, role=role)).status == (401 if role is Role.PUBLIC else 403)
