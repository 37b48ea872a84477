"""All error codes, of rows and of ordinary refusals: ``sota whitelist --errors``, ``docs/reference/errors.md``."""

from __future__ import annotations

from collections.abc import Iterable

from sota.boundaries.interaction import Http, Interaction, Outcome
from sota.boundaries.ordinary import REFUSALS
from sota.boundaries.table import TABLE

HEAD = """# Error codes

<!-- Made by `sota whitelist --errors`. Do not edit: change the table, and generate the page again. -->

An error's body is `application/problem+json` (RFC 9457): `code`, `status`, `title`, mostly a `detail` that says what
was wrong and what to do, and `interaction`, the row that refused. Programs compare `code`: it is stable, and it passes
from program to program unchanged. `title` is the literal message of the whitelist's row.

## What any request may be answered
"""
ROWS = """
## What rows answer

`sota whitelist ROW` tells more about a row. A code with several statuses or titles depends on the row, as the whitelist
has it.
"""


def refusals_of(row: Interaction) -> list[Outcome]:
    """Return the row's outcomes that are errors over HTTP."""
    if not isinstance(row.way, Http):
        return []
    return [outcome for outcome in (*row.outcomes, *row.also) if outcome.status is not None and outcome.status >= 400]


def codes_of(rows: Iterable[Interaction]) -> set[str]:
    """Return the codes that an error body of these rows can have."""
    return {refusal.code for refusal in REFUSALS} | {one.name for row in rows for one in refusals_of(row)}


def errors_page() -> str:
    """Write the page."""
    lines = [HEAD, "| Code | Status | Title | When |", "|---|--:|---|---|"]
    lines += [f"| `{one.code}` | {one.status} | {one.title} | {one.when} |" for one in REFUSALS]
    lines += [ROWS, "| Code | Status | Title | When | Rows |", "|---|--:|---|---|---|"]
    for (code, status, title), meanings in sorted(_meanings().items()):
        when = "; ".join(dict.fromkeys(text for text, _ in meanings))
        where = ", ".join(dict.fromkeys(row for _, row in meanings))
        lines.append(f"| `{code}` | {status} | {title} | {when} | {where} |")
    return "\n".join(lines) + "\n"


def _meanings() -> dict[tuple[str, int, str], list[tuple[str, str]]]:
    """Find each code's statuses and titles; of each why it is given, and the row."""
    meanings: dict[tuple[str, int, str], list[tuple[str, str]]] = {}
    for row in TABLE.values():
        for outcome in refusals_of(row):
            title = (outcome.message or "").replace(f"{row.title} failed", "*name of the request* failed")
            meanings.setdefault((outcome.name, outcome.status or 0, title), []).append((outcome.text, row.id))
    return meanings
