"""``sota ctl tokens``: tokens for the API. ``sota tokens`` does the same on the server's machine."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from sota.boundaries.b1_browser_web.admin_messages import AccountRole, NewToken
from sota.boundaries.parameters import ListQuery
from sota.cli.ctl.arguments import MOST, Most, Switch, body
from sota.cli.ctl.output import printable, show_done, show_list
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import administer, collect
from sota.kit.files.durable import write_atomic

app = App(name="tokens", help="Create and revoke tokens for the API.")


@app.command(name="list")
def list_tokens(*, most: Most = MOST, to: Target = HERE) -> None:
    """List valid tokens: your own, for an admin all of them."""
    found = administer(to, lambda web: collect(web.tokens, ListQuery(), most.items))
    rows = [(t.id, t.name, t.role, t.account or "a service", t.expires_at, t.last_used_at) for t in found]
    show_list(("Id", "Name", "Role", "Of", "Valid until", "Last used"), rows, found, json=to.json)


@app.command
def new(
    name: str,
    *,
    role: AccountRole,
    days: int = 90,
    service: Switch = False,
    out: Path | None = None,
    to: Target = HERE,
) -> None:
    """Create a token and print it, once; only its hash is stored.

    Parameters
    ----------
    name
        The token's purpose.
    role
        Its rights; never more than your own.
    days
        How long it is valid, 366 at most.
    service
        It belongs to a program, and does not end with an account; only an admin can create one.
    out
        Where to write the token, readable only by its owner, instead of printing it.
    """
    wanted = body(NewToken, name=name, role=role, days=days, service=service)
    made = administer(to, lambda web: web.new_token(wanted))
    if out is None:
        show_done(made.token, made, json=to.json)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, made.token.encode(), mode=0o600)
    told = {"id": made.id, "expires_at": made.expires_at, "file": str(out)}
    show_done(f"{name}: token in {out}, valid until {printable(made.expires_at)}", told, json=to.json)


@app.command
def revoke(token: str, *, to: Target = HERE) -> None:
    """Revoke a token.

    Parameters
    ----------
    token
        Its id, as sota ctl tokens list prints it.
    """
    said = administer(to, lambda web: web.revoke_token(token))
    show_done(f"{token}: {said.message}", said, json=to.json)
