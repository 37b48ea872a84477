"""What ends tokens: their account's password, and the end of the token that they were made with."""

from __future__ import annotations

from typing import Any

import pytest

from sota.boundaries.interaction import Role
from tests.support.backend import Backend, Server
from tests.support.tokens import PASSWORD, by_token, own_token, with_account


async def made_with(server: Server, token: str, **fields: Any) -> tuple[str, str]:
    """Make a token with another one; return it and its id."""
    answer = await by_token(server, token, "POST", "/api/v1/tokens", {"name": "child", "role": "viewer", **fields})
    assert answer.status == 200, answer
    return answer.body["token"], answer.body["id"]


async def works(server: Server, token: str) -> bool:
    return (await by_token(server, token, "GET", "/api/v1/vehicles")).status == 200


@pytest.mark.parametrize("service", [False, True])
async def test_token_ends_with_the_one_that_it_was_made_with(backend: Backend, service: bool) -> None:
    _, account_id = await with_account(backend, Role.ADMIN)
    first = await own_token(backend, account_id, Role.ADMIN)
    parent, parent_id = await made_with(backend, first, role="admin")
    child, _ = await made_with(backend, parent, role="admin", service=service)
    assert await works(backend, child)
    revoked = await by_token(backend, first, "DELETE", f"/api/v1/tokens/{parent_id}")
    assert revoked.status == 200
    assert [await works(backend, token) for token in (first, parent, child)] == [True, False, False]
    again = await by_token(backend, parent, "POST", "/api/v1/tokens", {"name": "late", "role": "viewer"})
    assert again.status == 401


@pytest.mark.parametrize("change", ["reset by an admin", "own", "deleted"])
async def test_tokens_end_with_the_password(backend: Backend, change: str) -> None:
    name, account_id = await with_account(backend, Role.ADMIN)
    token = await own_token(backend, account_id, Role.ADMIN)
    service, _ = await made_with(backend, token, role="admin", service=True)
    other = await own_token(backend, (await with_account(backend, Role.VIEWER))[1], Role.VIEWER)
    if change == "own":
        body = {"old_password": PASSWORD, "new_password": f"not {PASSWORD}"}
        answer = await by_token(backend, token, "PUT", "/api/v1/account/password", body)
    elif change == "deleted":
        answer = await backend.ask("DELETE", f"/api/v1/users/{name}", role=Role.ADMIN)
    else:
        answer = await backend.ask("PUT", f"/api/v1/users/{name}", {"reset_password": True}, role=Role.ADMIN)
    assert answer.status == 200, answer
    assert [await works(backend, one) for one in (token, service, other)] == [False, False, True]


async def test_service_token_that_a_disabled_account_made_is_worth_nothing(backend: Backend) -> None:
    name, account_id = await with_account(backend, Role.ADMIN)
    token = await own_token(backend, account_id, Role.ADMIN)
    service, _ = await made_with(backend, token, role="admin", service=True)
    await backend.ask("PUT", f"/api/v1/users/{name}", {"disabled": True}, role=Role.ADMIN)
    assert [await works(backend, one) for one in (token, service)] == [False, False]
    await backend.ask("PUT", f"/api/v1/users/{name}", {"disabled": False}, role=Role.ADMIN)
    assert [await works(backend, one) for one in (token, service)] == [True, False]
