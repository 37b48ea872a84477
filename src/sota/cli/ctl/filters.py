"""``sota ctl filters``: which vehicles get a package."""

from __future__ import annotations

from cyclopts import App

from sota.cli.ctl.arguments import All, Limit, Switch, read_package
from sota.cli.ctl.output import show_done, show_list
from sota.cli.ctl.profile import Target
from sota.cli.ctl.session import collect, talk
from sota.cli.ctl.vehicles import confirm

HERE = Target()
app = App(name="filters", help="Write the filters that choose vehicles, and give them to packages.")


@app.command(name="list")
def list_filters(regex: str | None = None, *, limit: Limit = 100, all: All = False, to: Target = HERE) -> None:  # noqa: A002
    """List filters.

    Parameters
    ----------
    regex
        Only those in whose name this regular expression (RE2) is found.
    limit
        How many at most.
    all
        All of them.
    """
    most = None if all else limit
    if regex is None:
        found = talk(to, lambda web: collect(web.list_filters, most))
    else:
        found = talk(to, lambda web: collect(lambda **page: web.search_filters(regex, **page), most))
    show_list(("Filter", "Expression"), [(f.name, f.expression) for f in found], found, json=to.json)


@app.command
def add(name: str, expression: str, *, to: Target = HERE) -> None:
    """Add a filter.

    Parameters
    ----------
    name
        2 to 100 letters, digits, dots, underscores and dashes.
    expression
        For example: 'vin_matches "^WVW" AND has_component "^TCU-5G"'; docs/operators.md explains the language.
    """
    said = talk(to, lambda web: web.new_filter(name, expression))
    show_done(f"{name}: {said.message}", said, json=to.json)


@app.command
def update(name: str, expression: str, *, to: Target = HERE) -> None:
    """Change a filter's expression; what is queued already stays as it is.

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
def delete(name: str, *, yes: Switch = False, to: Target = HERE) -> None:
    """Delete a filter and take it from its packages; a package without any filter goes to nobody.

    Parameters
    ----------
    name
        The filter.
    yes
        Do not ask.
    """
    confirm(f"Delete the filter {name}?", yes=yes)
    talk(to, lambda web: web.delete_filter(name))
    show_done(f"{name}: deleted", {"name": name}, json=to.json)


@app.command
def attach(name: str, package: str, *, to: Target = HERE) -> None:
    """Give a filter to a package: it goes to the vehicles that all its filters choose.

    Parameters
    ----------
    name
        The filter.
    package
        NAME/VERSION.
    """
    said = talk(to, lambda web: web.associate(read_package(package), name))
    show_done(f"{package} with {name}: {said.message}", said, json=to.json)
