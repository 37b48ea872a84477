"""``sota tokens``: API tokens of services, for programs that call the Web Server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
from cyclopts import App, Parameter, validators

from sota.boundaries.b1_browser_web import admin_rows
from sota.boundaries.b1_browser_web.admin_messages import AccountRole, TokenName
from sota.boundaries.interaction import Role
from sota.cli.columns import print_columns
from sota.cli.databases import HERE, Place
from sota.cli.web_database import web_database
from sota.kit.errors import Invalid, NotFound
from sota.kit.files.durable import write_atomic
from sota.web.accounts import token_store
from sota.web.accounts.model import Token
from sota.web.accounts.service import make_token

app = App(name="tokens", help="Issue, list and revoke API tokens of the Web Server.")
Days = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=366))]
PAGE = 500


@app.command
def new(
    name: str,
    *,
    role: AccountRole,
    days: Days = 90,
    token_file: Path | None = None,
    place: Place = HERE,
) -> None:
    """Create a service's token and print it, once; only its hash is stored.

    Parameters
    ----------
    name
        The token's purpose.
    role
        Its rights: viewer, operator or admin.
    days
        How long it is valid, a year at most.
    token_file
        Where to write the token, readable only by its owner, instead of printing it.
    """
    token = asyncio.run(_new(place, name, Role(role), days))
    if token_file is None:
        print(token)
        return
    token_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(token_file, token.encode(), mode=0o600)
    print(f"{name}: token in {token_file}, valid for {days} days")


@app.command(name="list")
def list_tokens(*, place: Place = HERE) -> None:
    """List the valid tokens of services and accounts."""
    rows = [
        (
            str(token.id),
            token.name,
            token.role.value,
            token.account or "a service",
            f"{token.expires_at:%Y-%m-%d}" if token.expires_at is not None else "it is revoked",
            f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at is not None else "never",
        )
        for token in asyncio.run(_list(place))
    ]
    print_columns(("Id", "Name", "Role", "Of", "Valid until", "Last used"), rows)


@app.command
def revoke(token_id: UUID, *, place: Place = HERE) -> None:
    """Revoke a token.

    Parameters
    ----------
    token_id
        Its id, as sota tokens list prints it.
    """
    name = asyncio.run(_revoke(place, token_id))
    print(f"{name}: token {token_id} is revoked")


async def _new(place: Place, name: str, role: Role, days: int) -> str:
    try:
        msgspec.convert(name, TokenName)
    except msgspec.ValidationError:
        raise Invalid(f"{name[:60]!r} is no token's name: 1 to 50 letters, digits, spaces and ._@-.") from None
    async with web_database(place) as web:
        now = web.clock.now()
        ends = now + timedelta(days=days)
        _, token = await make_token(web.db, role, name, account_id=None, expires_at=ends, now=now)
        await web.note(admin_rows.NEW_TOKEN.id, f"tokens name={name} role={role}", "created")
    return token


async def _list(place: Place) -> list[Token]:
    found: list[Token] = []
    async with web_database(place) as web:
        while True:
            after = found[-1].id if found else None
            async with web.db.read() as tx:
                page = await token_store.list_tokens(tx, web.clock.now(), PAGE, after, account_id=None, everybodys=True)
            found += page
            if len(page) < PAGE:
                return found


async def _revoke(place: Place, token_id: UUID) -> str:
    async with web_database(place) as web:
        now = web.clock.now()
        name = await web.db.transact(
            lambda tx: token_store.revoke_token(tx, token_id, now, account_id=None, everybodys=True)
        )
        if name is None:
            raise NotFound(f"There is no valid token {token_id}.")
        await web.note(admin_rows.REVOKE_TOKEN.id, f"tokens/{token_id} name={name}", "revoked")
    return name
