"""``sota ctl groups``: vehicles that belong together for a reason that a filter cannot see."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b3_web_resolver.fleet_messages import GroupChange, MembersChanged
from sota.boundaries.parameters import ListQuery
from sota.cli.ctl.arguments import MOST, Most, Switch, VinFile, confirm, read_vins
from sota.cli.ctl.output import show_done, show_list, show_one
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk
from sota.kit.errors import StartError

# The limit of one call.
AT_ONCE = 10_000
app = App(name="groups", help="Group vehicles by hand; filters test a group with in_group.")


@app.command(name="list")
def list_groups(*, most: Most = MOST, to: Target = HERE) -> None:
    """List groups by name."""
    found = talk(to, lambda web: collect(web.groups, ListQuery(), most.items))
    rows = [(group.name, group.vehicles, group.description) for group in found]
    show_list(("Group", "Vehicles", "Description"), rows, found, json=to.json)


@app.command
def show(name: str, *, to: Target = HERE) -> None:
    """Show one group.

    Parameters
    ----------
    name
        The group.
    """
    found = talk(to, lambda web: web.group(name))
    fields = [("group", found.name), ("vehicles", found.vehicles), ("description", found.description)]
    show_one(fields, found, json=to.json)


@app.command
def keep(name: str, *, description: str = "", to: Target = HERE) -> None:
    """Create a group, or change its description; its vehicles stay in it.

    Parameters
    ----------
    name
        2 to 100 letters, digits, dots, underscores and dashes.
    description
        Its purpose.
    """
    kept = talk(to, lambda web: web.keep_group(name, GroupChange(description=description)))
    show_done(f"{kept.name}: {kept.vehicles} vehicles", kept, json=to.json)


@app.command
def delete(name: str, *, yes: Switch = False, to: Target = HERE) -> None:
    """Delete a group that no filter uses; its vehicles stay registered.

    Parameters
    ----------
    name
        The group.
    yes
        Do not ask for confirmation.
    """
    confirm(f"Delete the group {name}?", yes=yes)
    said = talk(to, lambda web: web.delete_group(name))
    show_done(f"{name}: {said.message}", said, json=to.json)


@app.command
def vehicles(name: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List the VINs of a group.

    Parameters
    ----------
    name
        The group.
    """
    found = talk(to, lambda web: collect(lambda query: web.members_of(name, query), ListQuery(), most.items))
    show_list(("VIN",), [(vin,) for vin in found], found, json=to.json)


@app.command
def add(name: str, *vins: str, file: VinFile | None = None, to: Target = HERE) -> None:
    """Add vehicles to a group.

    Parameters
    ----------
    name
        The group.
    vins
        The vehicles.
    file
        A file with more VINs, one a line; - is standard input.
    """
    _change("joined", name, vins, file, to)


@app.command
def remove(name: str, *vins: str, file: VinFile | None = None, to: Target = HERE) -> None:
    """Remove vehicles from a group.

    Parameters
    ----------
    name
        The group.
    vins
        The vehicles.
    file
        A file with more VINs, one a line; - is standard input.
    """
    _change("left", name, vins, file, to)


def _change(what: str, name: str, vins: tuple[str, ...], file: Path | None, to: Target) -> None:
    wanted = [*vins, *(read_vins(file) if file is not None else ())]
    if not wanted:
        raise StartError("which vehicles? Give VINs, or --file")

    async def work(web: WebClient) -> MembersChanged:
        call = web.add_members if what == "joined" else web.remove_members
        parts = [await call(name, wanted[begin : begin + AT_ONCE]) for begin in range(0, len(wanted), AT_ONCE)]
        return MembersChanged(
            changed=sum(part.changed for part in parts), unknown=[vin for part in parts for vin in part.unknown]
        )

    done = talk(to, work)
    unknown = f"; not registered: {', '.join(done.unknown)}" if done.unknown else ""
    show_done(f"{name}: {done.changed} {what}{unknown}", done, json=to.json)
