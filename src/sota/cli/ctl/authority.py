"""``sota ctl authority``: who signs the identities of vehicles."""

from __future__ import annotations

from sota.cli.ctl.output import show_list
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import talk


def authority(*, to: Target = HERE) -> None:
    """Show the trust anchors, and how many valid identities each has signed."""
    found = talk(to, lambda web: web.authority())
    rows = [(one.fingerprint[:16], one.name, one.signing, one.identities) for one in found.entries]
    show_list(("Fingerprint", "Name", "Signs", "Identities"), rows, found, json=to.json)
