"""Tokens and credentials that want to reach further than they were given: other roles, boundaries and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Http, Interaction, Program, Role
from sota.boundaries.table import TABLE
from sota.kit.http.client import HttpClient
from sota.web.accounts.model import hash_token
from sota.web.accounts.service import issue_token
from sota.web.tables import API_TOKEN
from tests.support.answer import Answer, read
from tests.support.backend import Backend
from tests.support.names import new_name

KNOWN = {
    "vin": "WVWZZZ1KZ7W000001",
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "update_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "name": "nothing",
    "version": "1.0.0",
    "part_number": "nothing",
}


def rows(*boundaries: str) -> list[Interaction]:
    """Return the calls behind the Web Server that need a credential, one for each address."""
    found: dict[tuple[str, str, str], Interaction] = {}
    for row in TABLE.values():
        if row.boundary in boundaries and isinstance(row.way, Http) and not row.way.secret_path:
            found[row.boundary, row.way.method, row.way.path] = row
    return list(found.values())


def place(row: Interaction) -> tuple[str, str]:
    assert isinstance(row.way, Http)
    path = row.way.path
    for name in [part.partition("}")[0] for part in path.split("{")[1:]]:
        path = path.replace(f"{{{name}}}", KNOWN.get(name, "nothing"))
    return row.way.method, path


async def ask(port: int, row: Interaction, token: str | None, scheme: str = "Bearer") -> Answer:
    method, path = place(row)
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"{scheme} {token}"
    client = HttpClient(f"http://127.0.0.1:{port}")
    try:
        return read(await client.request(method, path, body=b"{}", headers=headers))
    finally:
        await client.close()


def ids(found: list[Interaction]) -> list[str]:
    return [row.id for row in found]


def port_of(backend: Backend, row: Interaction) -> int:
    return backend.core.port if row.callee is Program.SOTA_CORE else backend.resolver.port


BEHIND = rows("B2", "B3", "B5", "B11", "B12")


def is_refused(answer: Answer) -> bool:
    return answer.status == 404 and answer.message == "Authentication Failed"


@pytest.mark.parametrize("row", BEHIND, ids=ids(BEHIND))
async def test_credential_of_another_boundary_is_worth_nothing(backend: Backend, row: Interaction) -> None:
    """Every credential that there is, at every call that it is not for; a person's token among them."""
    tokens = {
        (Program.WEB_SERVER, Program.SOTA_CORE): (backend.folder / "web-core.token").read_text(),
        (Program.WEB_SERVER, Program.EXTERNAL_RESOLVER): (backend.folder / "web-resolver.token").read_text(),
        (Program.SOTA_CORE, Program.EXTERNAL_RESOLVER): (backend.folder / "core-resolver.token").read_text(),
    }
    callers = {other.caller for other in BEHIND if place(other) == place(row) and other.callee is row.callee}
    for (caller, callee), token in tokens.items():
        answer = await ask(port_of(backend, row), row, token)
        if callee is row.callee and caller in callers:
            assert not is_refused(answer)
        else:
            assert is_refused(answer), f"the credential of {caller} for {callee} opens {row.id}"
    for role in (Role.ADMIN, Role.VIEWER):
        person = await issue_token(backend.web.db, role, new_name("person"))
        assert is_refused(await ask(port_of(backend, row), row, person))


@pytest.mark.parametrize("row", BEHIND, ids=ids(BEHIND))
async def test_no_credential_or_a_wrong_one_is_refused(backend: Backend, row: Interaction) -> None:
    token = (backend.folder / "web-core.token").read_text()
    for wrong in (None, "", " ", "x", token[:-1], f"{token}x", token.swapcase(), hash_token(token), "\xe9"):
        assert is_refused(await ask(port_of(backend, row), row, wrong))
    assert is_refused(await ask(port_of(backend, row), row, token, "Basic"))


@pytest.mark.parametrize("name", ["web-core", "web-resolver", "core-resolver"])
async def test_credential_between_programs_is_worth_nothing_at_the_web_server(backend: Backend, name: str) -> None:
    token = (backend.folder / f"{name}.token").read_text()
    for method, path in (
        ("GET", "/api/v1/vehicles"),
        ("POST", "/api/v1/vehicles"),
        ("DELETE", "/api/v1/packages/a/1.0.0"),
    ):
        answer = await backend.ask(method, path, role=Role.PUBLIC, headers={"authorization": f"Bearer {token}"})
        assert (answer.status, answer.body["code"]) == (401, "unauthenticated")


async def test_credential_that_is_withdrawn_is_worth_nothing_after_a_restart(backend: Backend) -> None:
    """A credential that Core's file does not name, though it was made the same way."""
    token = issue(backend.folder / "elsewhere.toml", Program.WEB_SERVER)
    row = next(row for row in BEHIND if row.id == "WL-B2-2")
    assert is_refused(await ask(backend.core.port, row, token))


async def change(backend: Backend, token: str, **values: Any) -> None:
    statement = API_TOKEN.update().where(API_TOKEN.c.token_hash == hash_token(token)).values(**values)
    await backend.web.db.transact(lambda tx: tx.execute(statement))


async def with_token(backend: Backend, token: str, method: str = "GET", body: Any = None) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await backend.ask(method, "/api/v1/vehicles", body, role=Role.PUBLIC, headers=headers)).status


async def test_token_that_is_over_or_revoked_is_refused(backend: Backend) -> None:
    over = await issue_token(backend.web.db, Role.ADMIN, new_name("over"), valid_for=timedelta(seconds=-1))
    revoked = await issue_token(backend.web.db, Role.ADMIN, new_name("revoked"))
    assert await with_token(backend, over) == 401
    assert await with_token(backend, revoked) == 200
    await change(backend, revoked, revoked_at=datetime.now(UTC))
    assert await with_token(backend, revoked) == 401


async def test_token_loses_a_right_at_once(backend: Backend) -> None:
    token = await issue_token(backend.web.db, Role.OPERATOR, new_name("demoted"))
    assert await with_token(backend, token, "POST", {"vin": "none"}) == 400
    await change(backend, token, role=Role.VIEWER.value)
    assert await with_token(backend, token, "POST", {"vin": "none"}) == 403
    assert await with_token(backend, token) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-role": "admin"},
        {"x-forwarded-user": "admin"},
        {"x-http-method-override": "DELETE"},
        {"x-original-url": "/api/v1/users"},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-forwarded-proto": "https"},
        {"cookie": "role=admin; __Host-sota=admin"},
    ],
    ids=str,
)
async def test_headers_that_name_a_right_give_none(backend: Backend, headers: dict[str, str]) -> None:
    viewer = await backend.ask("POST", "/api/v1/vehicles", {"vin": "none"}, role=Role.VIEWER, headers=headers)
    stranger = await backend.ask("GET", "/api/v1/vehicles", role=Role.PUBLIC, headers=headers)
    reading = await backend.ask("GET", "/api/v1/vehicles", role=Role.VIEWER, headers=headers)
    assert (viewer.status, stranger.status, reading.status) == (403, 401, 200)


@pytest.mark.parametrize("token", ["", " ", "sota_", "null", "undefined", "' OR 1=1", "0" * 5000, "\xe9\xff"])
async def test_malformed_token_is_refused(backend: Backend, token: str) -> None:
    assert await with_token(backend, token) == 401


async def test_hash_that_the_database_keeps_is_no_token(backend: Backend) -> None:
    token = await issue_token(backend.web.db, Role.ADMIN, new_name("hashed"))
    assert await with_token(backend, hash_token(token)) == 401
