"""``sota ctl campaigns``: a package for the vehicles that its filters choose, with a name."""

from __future__ import annotations

from cyclopts import App

from sota.boundaries.b2_web_core.messages import NewCampaign
from sota.cli.ctl.arguments import ANY_TIME, Priority, When, read_package
from sota.cli.ctl.output import show_done, warn
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import talk

app = App(name="campaigns", help="Send a package to the vehicles that its filters choose.")


@app.command
def create(
    package: str,
    *,
    name: str | None = None,
    priority: Priority = 50,
    when: When = ANY_TIME,
    to: Target = HERE,
) -> None:
    """Create a campaign; follow its request with sota ctl requests.

    Parameters
    ----------
    package
        NAME/VERSION.
    name
        Its name, for people.
    priority
        1 is first, 100 last.
    """
    interval = when.interval()
    campaign = NewCampaign(
        package=read_package(package), priority=priority, start=interval.start, end=interval.end, name=name
    )
    created = talk(to, lambda web: web.new_campaign(campaign))
    show_done(f"{created.message}: request {created.install_request_id}", created, json=to.json)
    warn(created.warning)
