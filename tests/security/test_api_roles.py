"""Every operation of the API document against every role, by token and by session: each may do what is declared."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.interaction import Role
from sota.boundaries.openapi import DOCUMENTED, document
from sota.web.accounts.service import add_account
from tests.support.backend import Backend, running_backend

PATHS: dict[str, dict[str, Any]] = document(DOCUMENTED["web"])["paths"]
API = [
    (method.upper(), path, operation)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
    if path.startswith("/api/")
]
OWN = {
    ("PUT", "/api/v1/account/password"),
    ("DELETE", "/api/v1/account/sessions"),
    ("POST", "/api/v1/tokens"),
    ("DELETE", "/api/v1/tokens/{id}"),
}
# For a vehicle that shows a one-time code, and no token.
BY_CODE = ("POST", "/api/v1/enrolments")
WRITES = [case for case in API if case[0] != "GET" and case[:2] != BY_CODE]
# Sent with POST for their bodies' sake; they change nothing.
QUESTIONS = {
    ("POST", "/api/v1/filters/preview"),
    ("POST", "/api/v1/filters/validate"),
    ("POST", "/api/v1/filters/format"),
    ("POST", "/api/v1/resolve/explain"),
}
OTHERS = [case for case in WRITES if case[:2] not in OWN | QUESTIONS]
KNOWN = {
    "vin": "WVWZZZ1KZ7W000001",
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "update_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "name": "nothing",
    "group": "nothing",
    "filter": "nothing",
    "user": "nobody",
    "version": "1.0.0",
}
PASSWORD = "a password of these tests"


@pytest.fixture(scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    folder = tmp_path_factory.mktemp("roles")
    databases = [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
    async with running_backend(folder, databases) as running:
        for role in (Role.OPERATOR, Role.VIEWER):
            await add_account(running.web.db, role.value, role, PASSWORD)
        yield running


@pytest.fixture(scope="module")
async def viewer(backend: Backend) -> Browser:
    return await signed_in(backend, "viewer")


@pytest.fixture(scope="module")
async def operator(backend: Backend) -> Browser:
    return await signed_in(backend, "operator")


async def signed_in(backend: Backend, name: str) -> Browser:
    browser = backend.browser()
    answer = await browser.sign_in(name, PASSWORD, as_json=True)
    assert answer.status == 200
    return browser


def case_ids(cases: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    return [operation["operationId"] for _, _, operation in cases]


def body_of(operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    return next(iter(content.values()))["example"] if content else None


@pytest.mark.parametrize("role", [Role.PUBLIC, Role.VIEWER, Role.OPERATOR, Role.ADMIN])
@pytest.mark.parametrize(("method", "path", "operation"), API, ids=case_ids(API))
async def test_token_reaches_what_its_role_allows(
    backend: Backend, method: str, path: str, operation: dict[str, Any], role: Role
) -> None:
    accept = {"accept": "application/json"}
    answer = await backend.ask(method, path.format(**KNOWN), body_of(operation), role=role, headers=accept)
    if (method, path) == BY_CODE:
        assert (answer.status, answer.body["code"]) == (409, "no_authority")
    elif role is Role.PUBLIC:
        assert (answer.status, answer.body["code"]) == (401, "unauthenticated")
    elif role.allows(Role(operation["x-role"])):
        assert answer.status not in {401, 403}
    else:
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path", "operation"), WRITES, ids=case_ids(WRITES))
async def test_every_write_needs_an_operator_or_is_ones_own(method: str, path: str, operation: dict[str, Any]) -> None:
    needed = {Role.VIEWER} if (method, path) in OWN | QUESTIONS else {Role.OPERATOR, Role.ADMIN}
    assert Role(operation["x-role"]) in needed


@pytest.mark.parametrize(("method", "path", "operation"), OTHERS, ids=case_ids(OTHERS))
async def test_viewer_who_is_signed_in_cannot_write(
    viewer: Browser, method: str, path: str, operation: dict[str, Any]
) -> None:
    answer = await viewer.request(method, path.format(**KNOWN), body=body_of(operation))
    assert answer.status == 403


@pytest.mark.parametrize("token", ["", "not the session's own"])
@pytest.mark.parametrize(("method", "path", "operation"), WRITES, ids=case_ids(WRITES))
async def test_write_without_the_sessions_csrf_token_is_refused(
    operator: Browser, method: str, path: str, operation: dict[str, Any], token: str
) -> None:
    answer = await operator.request(
        method, path.format(**KNOWN), body=body_of(operation), headers={"x-csrf-token": token}
    )
    assert answer.status == 403
    assert b"CSRF" in answer.body


@pytest.mark.parametrize("path", PATHS)
async def test_method_that_is_not_declared_is_refused(backend: Backend, path: str) -> None:
    target = path.format(**KNOWN, page="index", file="console")
    browser = backend.browser()
    # A value may be what another path says literally (a filter called preview): what is asked of it is declared too.
    fitting = [one for one in PATHS if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), target)]
    declared = {method.upper() for one in fitting for method in PATHS[one]}
    for method in sorted({"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} - declared):
        answer = await browser.request(method, target)
        assert answer.status == 405, method
        assert set(answer.headers["allow"].split(", ")) == declared
