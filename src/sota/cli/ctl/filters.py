"""``sota ctl filters``: which vehicles get a package."""

from __future__ import annotations

from cyclopts import App

from sota.boundaries.parameters import DeleteFilterQuery, ListQuery, RegexQuery
from sota.cli.ctl.arguments import MOST, Most, Switch, confirm, read_package
from sota.cli.ctl.expressions import check, preview, tidy
from sota.cli.ctl.output import show_done, show_list
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk
from sota.kit.errors import Refused

app = App(name="filters", help="Write filters that choose vehicles, and attach them to packages.")
app.command(check)
app.command(tidy, name="format")
app.command(preview)


@app.command(name="list")
def list_filters(regex: str | None = None, *, most: Most = MOST, to: Target = HERE) -> None:
    """List filters.

    Parameters
    ----------
    regex
        Only filters whose name matches this regular expression (RE2).
    """
    if regex is None:
        found = talk(to, lambda web: collect(web.list_filters, ListQuery(), most.items))
    else:
        found = talk(to, lambda web: collect(web.search_filters, RegexQuery(regex), most.items))
    show_list(("Filter", "Expression"), [(f.name, f.expression) for f in found], found, json=to.json)


@app.command
def add(name: str, expression: str, *, to: Target = HERE) -> None:
    """Create a filter.

    Parameters
    ----------
    name
        2 to 100 letters, digits, dots, underscores and dashes.
    expression
        For example: 'vin_matches "^WVW" AND has_component "^TCU-5G"'; docs/reference/filters.md explains the language.
    """
    said = talk(to, lambda web: web.new_filter(name, expression))
    show_done(f"{name}: {said.message}", said, json=to.json)


@app.command
def update(name: str, expression: str, *, to: Target = HERE) -> None:
    """Change a filter's expression; queued updates stay as they are.

    Parameters
    ----------
    name
        The filter.
    expression
        Its new expression.
    """
    talk(to, lambda web: web.update_filter(name, expression))
    show_done(f"{name}: changed", {"name": name, "expression": expression}, json=to.json)


@app.command
def delete(name: str, *, yes: Switch = False, widen: Switch = False, to: Target = HERE) -> None:
    """Delete a filter and detach it from its packages; a package without any filter goes to no vehicle.

    Parameters
    ----------
    name
        The filter.
    yes
        Do not ask for confirmation.
    widen
        Do not ask either if packages would go to more vehicles without it.
    """
    confirm(f"Delete the filter {name}?", yes=yes)
    try:
        talk(to, lambda web: web.delete_filter(name, DeleteFilterQuery(widen)))
    except Refused as error:
        if error.code != "target_widens":
            raise
        confirm(f"{error.detail.partition(' Say ')[0]} Delete it?", yes=False, option="--widen")
        talk(to, lambda web: web.delete_filter(name, DeleteFilterQuery(widen=True)))
    show_done(f"{name}: deleted", {"name": name}, json=to.json)


@app.command
def attach(name: str, package: str, *, to: Target = HERE) -> None:
    """Attach a filter to a package, which goes to the vehicles that match all its filters.

    Parameters
    ----------
    name
        The filter.
    package
        NAME/VERSION.
    """
    said = talk(to, lambda web: web.associate(read_package(package), name))
    show_done(f"{package} with {name}: {said.message}", said, json=to.json)


@app.command
def detach(name: str, package: str, *, widen: Switch = False, to: Target = HERE) -> None:
    """Detach a filter from a package; without its last one the package goes to no vehicle.

    Parameters
    ----------
    name
        The filter.
    package
        NAME/VERSION.
    widen
        Do not ask if the package would go to more vehicles.
    """
    wanted = read_package(package)
    try:
        said = talk(to, lambda web: web.detach(wanted, name, widen=widen))
    except Refused as error:
        if error.code != "target_widens":
            raise
        confirm(f"{error.detail.partition(' Say ')[0]} Detach it?", yes=False, option="--widen")
        said = talk(to, lambda web: web.detach(wanted, name, widen=True))
    show_done(f"{package} without {name}: {said.message}", said, json=to.json)
