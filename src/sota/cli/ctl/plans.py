"""``sota ctl packages preview``, ``needs``, ``declare`` and ``drop``, ``sota ctl vehicles explain``: who gets what."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.resolution_messages import (
    Clause,
    ClauseKind,
    Dependency,
    ExplainRequest,
    Explanation,
    Verdict,
)
from sota.cli.ctl.arguments import Switch, body, confirm, read_package
from sota.cli.ctl.output import show_done, show_list, show_one
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.resolutions import packages_text
from sota.cli.ctl.session import talk
from sota.kit.errors import StartError


def preview(package: str, *, to: Target = HERE) -> None:
    """Show which vehicles would get a package now, with which others, and which would be excluded.

    Parameters
    ----------
    package
        NAME/VERSION.
    """
    found = talk(to, lambda web: web.preview_package(read_package(package)))
    fields = [
        ("chosen", found.chosen),
        ("left out", found.left_out),
        *(("plan", f"{one.count} vehicles: {packages_text(one.packages)}") for one in found.plans),
        *(("left out", f"{one.count} vehicles: {one.reason}") for one in found.reasons),
    ]
    show_one(fields, found, json=to.json)


def needs(package: str, *, recursive: Switch = False, to: Target = HERE) -> None:
    """List a package's dependencies, each with the minimum version.

    Parameters
    ----------
    package
        NAME/VERSION.
    recursive
        Also their dependencies.
    """
    _show(talk(to, lambda web: web.dependencies_of(read_package(package), recursive=recursive)), to)


def declare(package: str, *needed: str, to: Target = HERE) -> None:
    """Replace a package's dependencies; queued updates stay as they are.

    Parameters
    ----------
    package
        NAME/VERSION.
    needed
        NAME/VERSION of each, with the minimum version.
    """
    if not needed:
        raise StartError("which packages does it need? sota ctl packages drop takes all away")
    least = [read_package(one) for one in needed]
    _show(talk(to, lambda web: web.declare_dependencies(read_package(package), least)), to)


def drop(package: str, needed: str | None = None, *, yes: Switch = False, to: Target = HERE) -> None:
    """Remove a package's dependency on another one, or all of them.

    Parameters
    ----------
    package
        NAME/VERSION.
    needed
        The name of the other package; the default is all.
    yes
        Do not ask for confirmation.
    """
    if needed is None:
        confirm(f"Take all dependencies of {package} away?", yes=yes)
    _show(talk(to, lambda web: web.drop_dependencies(read_package(package), needed)), to)


def explain(vin: str, package: str | None = None, *, expression: str | None = None, to: Target = HERE) -> None:
    """Explain why a vehicle gets a package or not, clause by clause.

    Parameters
    ----------
    vin
        The vehicle.
    package
        NAME/VERSION.
    expression
        Instead of the package: an unsaved expression.
    """
    wanted = read_package(package) if package else None
    request = body(ExplainRequest, vin=vin, package=wanted, expression=expression)
    found = talk(to, lambda web: web.explain(request))
    lines = [", ".join(filter(None, (f"{found.vin}: {found.verdict}", _main_reason(found))))]
    for one in found.filters:
        lines += [f"{_mark(one.value)} {one.name or 'expression'}", *_clause_lines(one.clause, 1)]
    if found.verdict is Verdict.OUT and found.reason:
        lines.append(f"If the filters chose it: {found.reason}")
    lines += [f"{number}. {step.package.text}: {step.because}" for number, step in enumerate(found.steps, 1)]
    show_done(lines, found, json=to.json)


def _main_reason(found: Explanation) -> str | None:
    """Return what excluded the vehicle: a false filter comes before dependencies."""
    false = [one.name or "the expression" for one in found.filters if not one.value]
    if false:
        return f"{' and '.join(false)} {'is' if len(false) == 1 else 'are'} false for it"
    return found.reason


def _clause_lines(clause: Clause, depth: int) -> list[str]:
    what = clause.text if clause.kind is ClauseKind.TEST else clause.kind.upper()
    note = f": {clause.note}" if clause.note else ""
    lines = [f"{'  ' * depth}{_mark(clause.value)} {what}{note}"]
    for part in clause.parts:
        lines += _clause_lines(part, depth + 1)
    return lines


def _mark(value: bool) -> str:
    return "true " if value else "false"


def _show(dependencies: list[Dependency], to: Target) -> None:
    rows = [(one.package.text, one.needs.text) for one in dependencies]
    show_list(("Package", "Needs"), rows, dependencies, json=to.json)
