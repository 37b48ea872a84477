"""``sota users``: accounts of the Web Server, for an operator on its machine who cannot use the console."""

from __future__ import annotations

import asyncio

from cyclopts import App

from sota.boundaries.b1_browser_web import admin_rows
from sota.boundaries.b1_browser_web.admin_messages import AccountRole
from sota.boundaries.interaction import Role
from sota.cli.columns import print_columns
from sota.cli.databases import HERE, Place
from sota.cli.web_database import web_database
from sota.web.accounts import store
from sota.web.accounts.model import Account, generate_password
from sota.web.accounts.service import add_account, change_account

app = App(name="users", help="Create, list and disable accounts of the Web Server, or reset a password.")
PAGE = 500


@app.command
def add(name: str, *, role: AccountRole, place: Place = HERE) -> None:
    """Create an account and print its generated password, once; its owner must replace it at the first sign-in.

    Parameters
    ----------
    name
        Letters, digits and ._@-, beginning with a letter or digit.
    role
        Its rights: viewer, operator or admin.
    """
    password = asyncio.run(_add(place, name, Role(role)))
    print(f"First sign-in, shown once: {name} / {password}")


@app.command(name="list")
def list_users(*, place: Place = HERE) -> None:
    """List the accounts."""
    rows = [
        (account.name, account.role.value, _state(account), str(sessions), f"{account.created_at:%Y-%m-%d %H:%M}")
        for account, sessions in asyncio.run(_list(place))
    ]
    print_columns(("Name", "Role", "State", "Sessions", "Made"), rows)


@app.command
def disable(name: str, *, place: Place = HERE) -> None:
    """Disable an account; its sessions end, its tokens become invalid.

    Parameters
    ----------
    name
        The account.
    """
    asyncio.run(_change(place, name, disabled=True))
    print(f"{name} is disabled; its sessions ended")


@app.command
def enable(name: str, *, place: Place = HERE) -> None:
    """Enable a disabled account.

    Parameters
    ----------
    name
        The account.
    """
    asyncio.run(_change(place, name, disabled=False))
    print(f"{name} is enabled")


@app.command
def reset(name: str, *, place: Place = HERE) -> None:
    """Generate another password for an account and print it, once; for a forgotten password.

    Parameters
    ----------
    name
        The account.
    """
    password = generate_password()
    asyncio.run(_change(place, name, password=password))
    print(f"Next sign-in, shown once: {name} / {password}")


async def _add(place: Place, name: str, role: Role) -> str:
    password = generate_password()
    async with web_database(place) as web:
        await add_account(web.db, name, role, password, change_due=True)
        await web.note(admin_rows.NEW_USER.id, f"users name={name} role={role}", "created")
    return password


async def _list(place: Place) -> list[tuple[Account, int]]:
    found: list[tuple[Account, int]] = []
    async with web_database(place) as web:
        while True:
            async with web.db.read() as tx:
                page = await store.list_accounts(tx, PAGE, found[-1][0].name if found else None)
            found += page
            if len(page) < PAGE:
                return found


async def _change(place: Place, name: str, *, disabled: bool | None = None, password: str | None = None) -> None:
    async with web_database(place) as web:
        await change_account(web.db, name, disabled=disabled, password=password, change_due=True)
        what = f"disabled={disabled}" if disabled is not None else "reset_password=True"
        await web.note(admin_rows.CHANGE_USER.id, f"users/{name} {what}", "changed")


def _state(account: Account) -> str:
    if account.disabled:
        return "disabled"
    return "password to be changed" if account.password_change_due else "active"
