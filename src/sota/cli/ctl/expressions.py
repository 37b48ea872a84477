"""``sota ctl filters check``, ``format`` and ``preview``: try expressions before they become filters. Nothing is
saved."""

from __future__ import annotations

import sys

from sota.boundaries.b3_web_resolver.resolution_messages import Hint, Mistake
from sota.cli.ctl.arguments import Expression, read_expression
from sota.cli.ctl.output import print_json, printable, show_done
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import talk


def check(expression: Expression, *, to: Target = HERE) -> None:
    """Check an expression, and show where it is wrong; exit code 1 if it is invalid.

    Parameters
    ----------
    expression
        For example: 'vin_matches "^WVW"'; - reads it from standard input.
    """
    text = read_expression(expression)
    found = talk(to, lambda web: web.validate(text))
    if found.error is not None:
        _end_with(text, found.error, found, to)
    _warn(found.hints, to)
    show_done("can be evaluated", found, json=to.json)


def tidy(expression: Expression, *, to: Target = HERE) -> None:
    """Print an expression with formatted spaces and lines; exit code 1 if it is invalid.

    Parameters
    ----------
    expression
        The expression; - reads it from standard input.
    """
    text = read_expression(expression)
    found = talk(to, lambda web: web.format(text))
    if found.error is not None:
        _end_with(text, found.error, found, to)
    if to.json:
        print_json(found)
    else:
        for line in (found.expression or "").splitlines():  # keeps its line ends
            print(printable(line))


def preview(expression: Expression, *, to: Target = HERE) -> None:
    """Count the vehicles that an expression chooses, and name some; exit code 1 if it is invalid.

    Parameters
    ----------
    expression
        The expression; - reads it from standard input.
    """
    text = read_expression(expression)
    found = talk(to, lambda web: web.preview(text))
    if found.error is not None:
        _end_with(text, found.error, found, to)
    _warn(found.hints, to)
    some = f", for example {', '.join(found.sample)}" if found.sample else ""
    show_done(f"{found.count} vehicles{some}", found, json=to.json)


def _end_with(text: str, mistake: Mistake, answer: object, to: Target) -> None:
    """Show a mistake below its line, and exit with 1."""
    if to.json:
        print_json(answer)
        sys.exit(1)
    lines = text.splitlines()
    print(f"sota: line {mistake.line}, column {mistake.column}: {printable(mistake.message)}", file=sys.stderr)
    if 1 <= mistake.line <= len(lines):
        print(f"  {printable(lines[mistake.line - 1])}\n  {' ' * (mistake.column - 1)}^", file=sys.stderr)
    if mistake.suggestion:
        print(f"  Is {printable(mistake.suggestion)} meant?", file=sys.stderr)
    sys.exit(1)


def _warn(hints: list[Hint], to: Target) -> None:
    if to.json:
        return
    for hint in hints:
        print(f"line {hint.line}, column {hint.column}: {printable(hint.message)}", file=sys.stderr)
