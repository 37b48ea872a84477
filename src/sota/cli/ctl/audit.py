"""``sota ctl audit``: who did what. ``sota audit`` reads the same on the server's machine, and exports it."""

from __future__ import annotations

import sys
from datetime import datetime

from cyclopts import App

from sota.boundaries.b1_browser_web.queries import ProgramAuditQuery, TrailOwner
from sota.cli.ctl.arguments import MOST, Most, in_utc
from sota.cli.ctl.output import show_list, show_one
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import administer, collect

app = App(name="audit", help="Read and check who did what: for admins.")


@app.command(name="list")
def list_records(
    *,
    program: TrailOwner = TrailOwner.WEB,
    actor: str | None = None,
    about: str | None = None,
    interaction: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    most: Most = MOST,
    to: Target = HERE,
) -> None:
    """List audit records, the latest first.

    Parameters
    ----------
    program
        Whose trail: the Web Server's names accounts and tokens, the others' name the programs that called them.
    actor
        Only actions of this account, token or program.
    about
        Only actions on objects with this in their name, for example a VIN.
    interaction
        Only this row of the whitelist, by its id.
    since
        Only from this moment on, in UTC unless another zone is given.
    until
        Only before this moment.
    """

    wanted = ProgramAuditQuery(
        program=program,
        actor=actor,
        object=about,
        interaction=interaction,
        since=in_utc(since) if since else None,
        until=in_utc(until) if until else None,
    )
    found = administer(to, lambda web: collect(web.audit, wanted, most.items))
    rows = [(r.number, r.at, r.actor, r.address, r.interaction, r.object, r.outcome, r.status) for r in found]
    titles = ("Number", "At", "Actor", "From", "Interaction", "Object", "Outcome", "Status")
    show_list(titles, rows, found, json=to.json)


@app.command
def verify(*, program: TrailOwner = TrailOwner.WEB, to: Target = HERE) -> None:
    """Check that no audit record was changed, removed or moved; exit code 1 if one was.

    Parameters
    ----------
    program
        Whose trail.
    """
    found = administer(to, lambda web: web.verify_audit(program))
    fields = [("holds", found.holds), ("records", found.records), ("hash", found.hash)]
    if not found.holds:
        fields += [("broken at", found.broken_at), ("how", found.broken)]
    show_one(fields, found, json=to.json)
    if not found.holds:
        sys.exit(1)
