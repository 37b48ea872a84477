"""``sota ctl components``: kinds of control units, by part number."""

from __future__ import annotations

from cyclopts import App

from sota.boundaries.b2_web_core.messages import Component
from sota.boundaries.b2_web_core.queries import ComponentQuery
from sota.cli.ctl.arguments import MOST, Most, body
from sota.cli.ctl.output import show_done, show_list
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk

app = App(name="components", help="Register and look up components.")


@app.command(name="list")
def list_components(
    regex: str | None = None,
    *,
    id: tuple[str, ...] = (),
    name: str | None = None,
    most: Most = MOST,
    to: Target = HERE,
) -> None:
    """List components.

    Parameters
    ----------
    regex
        Only part numbers that match this regular expression (RE2).
    id
        Only this part number; repeatable.
    name
        Only components with this name.
    """
    wanted = ComponentQuery(regex, ",".join(id) or None, name)
    found = talk(to, lambda web: collect(web.search_components, wanted, most.items))
    rows = [(c.part_number, c.name, c.description) for c in found]
    show_list(("Part number", "Name", "Description"), rows, found, json=to.json)


@app.command
def add(part_number: str, *, name: str | None = None, description: str = "", to: Target = HERE) -> None:
    """Register a component.

    Parameters
    ----------
    part_number
        2 to 100 letters, digits, dots, underscores and dashes.
    name
        Its name, for people.
    description
        Its description.
    """
    component = body(Component, part_number=part_number, name=name, description=description)
    said = talk(to, lambda web: web.new_component(component))
    show_done(f"{part_number}: {said.message}", said, json=to.json)
