"""``sota ctl resolutions``: which vehicles a request chose, which it excluded and why, as it was decided then."""

from __future__ import annotations

from cyclopts import App

from sota.boundaries.b3_web_resolver.queries import DifferenceQuery
from sota.boundaries.b3_web_resolver.resolution_messages import Decided
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import PackageId
from sota.cli.ctl.arguments import MOST, Most
from sota.cli.ctl.output import show_list, show_one
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk

app = App(
    name="resolutions", help="Look up which vehicles a request chose, and why; requests show lists its resolutions."
)


@app.command
def show(resolution: str, *, to: Target = HERE) -> None:
    """Show a recorded resolution: its decision, and the filters and dependencies of that time.

    Parameters
    ----------
    resolution
        Its id.
    """
    found = talk(to, lambda web: web.resolution(resolution))
    fields = [
        ("resolution", found.resolution_id),
        ("package", found.package.text),
        ("status", found.status),
        ("begun", found.begun_at),
        ("completed", found.completed_at),
        ("chosen", found.chosen),
        ("left out", found.left_out),
        ("erased since", found.erased),
        *(("filter", f"{one.name}: {one.expression}") for one in found.filters),
        *(("dependency", f"{one.package.text} needs {one.needs.text} or later") for one in found.dependencies),
        *(("plan", f"{one.count} vehicles: {packages_text(one.packages)}") for one in found.plans),
        *(("left out", f"{one.count} vehicles: {one.reason}") for one in found.reasons),
    ]
    show_one(fields, found, json=to.json)


@app.command
def vehicles(resolution: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List the chosen vehicles, and what each was to get.

    Parameters
    ----------
    resolution
        Its id.
    """
    found = talk(to, lambda web: collect(lambda query: web.chosen(resolution, query), ListQuery(), most.items))
    rows = [(one.vin, packages_text(one.packages)) for one in found]
    show_list(("VIN", "Packages"), rows, found, json=to.json)


@app.command(name="left-out")
def left_out(resolution: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List the vehicles that matched all filters and were excluded, and why.

    Parameters
    ----------
    resolution
        Its id.
    """
    found = talk(to, lambda web: collect(lambda query: web.left_out(resolution, query), ListQuery(), most.items))
    show_list(("VIN", "Reason"), [(one.vin, one.reason) for one in found], found, json=to.json)


@app.command
def difference(
    resolution: str,
    other: str,
    *,
    most: Most = MOST,
    to: Target = HERE,
) -> None:
    """List the vehicles that two resolutions decided differently.

    Parameters
    ----------
    resolution
        The id of the earlier one.
    other
        The id of the later one.
    """
    found = talk(
        to, lambda web: collect(lambda query: web.difference(resolution, query), DifferenceQuery(other), most.items)
    )
    rows = [(one.vin, one.change, _decided(one.before), _decided(one.after)) for one in found]
    show_list(("VIN", "Change", "Before", "After"), rows, found, json=to.json)


def packages_text(packages: list[PackageId]) -> str:
    """Return packages in their order of installation."""
    return ", ".join(package.text for package in packages)


def _decided(decided: Decided | None) -> str | None:
    if decided is None:
        return None
    return decided.reason or packages_text(decided.packages)
