"""Accounts with a known password, their tokens, and calls with these."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sota.boundaries.interaction import Role
from sota.web.accounts.service import add_account, make_token
from sota.web.accounts.store import find_account
from tests.support.answer import Answer
from tests.support.backend import Server
from tests.support.names import new_name

PASSWORD = "a password of these tests"


async def with_account(server: Server, role: Role) -> tuple[str, UUID]:
    name = new_name("user")
    await add_account(server.web.db, name, role, PASSWORD)
    async with server.web.db.read() as tx:
        account = await find_account(tx, name)
    assert account is not None
    return name, account.id


async def own_token(server: Server, account_id: UUID, role: Role, *, days: int = 30) -> str:
    now = datetime.now(UTC)
    ends = now + timedelta(days=days)
    _, token = await make_token(server.web.db, role, "tests", account_id=account_id, expires_at=ends, now=now)
    return token


async def by_token(server: Server, token: str, method: str, path: str, body: Any = None) -> Answer:
    return await server.ask(method, path, body, role=Role.PUBLIC, headers={"authorization": f"Bearer {token}"})
