"""``sota ctl users``: accounts. ``sota users`` does the same on the server's machine, for when no one can sign in."""

from __future__ import annotations

from cyclopts import App

from sota.boundaries.b1_browser_web.admin_messages import AccountRole, NewUser, UserChange, UserCreated
from sota.boundaries.parameters import ListQuery
from sota.cli.ctl.arguments import MOST, Most, Switch, body, confirm
from sota.cli.ctl.output import show_done, show_list
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import administer, collect
from sota.kit.errors import StartError

app = App(name="users", help="Create, change and delete accounts: for admins.")


@app.command(name="list")
def list_users(*, most: Most = MOST, to: Target = HERE) -> None:
    """List accounts."""
    found = administer(to, lambda web: collect(web.users, ListQuery(), most.items))
    rows = [(u.name, u.role, u.disabled, u.password_change_due, u.sessions, u.created_at) for u in found]
    show_list(("Account", "Role", "Disabled", "Password due", "Sessions", "Created"), rows, found, json=to.json)


@app.command
def add(name: str, *, role: AccountRole, to: Target = HERE) -> None:
    """Create an account; its generated password is printed once, and must be replaced at the first sign-in.

    Parameters
    ----------
    name
        Up to 64 letters, digits and ._@-.
    role
        Its rights.
    """
    user = body(NewUser, name=name, role=role)
    _show(administer(to, lambda web: web.new_user(user)), to)


@app.command
def change(
    name: str,
    *,
    role: AccountRole | None = None,
    disable: Switch = False,
    enable: Switch = False,
    reset_password: Switch = False,
    to: Target = HERE,
) -> None:
    """Change an account; its sessions end.

    Parameters
    ----------
    name
        The account.
    role
        Its new rights.
    disable
        Disable sign-in and its tokens.
    enable
        Enable a disabled account.
    reset_password
        Generate another password, which is printed once.
    """
    if enable and disable:
        raise StartError("either --enable or --disable")
    if role is None and not (enable or disable or reset_password):
        raise StartError("what is to change? --role, --disable, --enable or --reset-password")
    disabled = True if disable else False if enable else None
    wanted = UserChange(role=role, disabled=disabled, reset_password=reset_password)
    _show(administer(to, lambda web: web.change_user(name, wanted)), to)


@app.command
def delete(name: str, *, yes: Switch = False, to: Target = HERE) -> None:
    """Delete an account, with its sessions and tokens.

    Parameters
    ----------
    name
        The account.
    yes
        Do not ask for confirmation.
    """
    confirm(f"Delete the account {name}?", yes=yes)
    said = administer(to, lambda web: web.delete_user(name))
    show_done(f"{name}: {said.message}", said, json=to.json)


def _show(done: UserCreated, to: Target) -> None:
    password = f"; password, shown once: {done.password}" if done.password else ""
    show_done(f"{done.name}: {done.message}{password}", done, json=to.json)
