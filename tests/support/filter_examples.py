"""Reads the examples of docs/reference/filters.md: the fleet's table, and each expression with its result."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sota.resolver.language.evaluation import Vehicle

EXAMPLE = re.compile(r"^```filter\n(?P<text>.*?)\n```\n\n(?P<said>[^\n]*)$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```filter\n", re.MULTILINE)
ROW = re.compile(r"^\| ([A-Z0-9]{17}) \|(.*)\|(.*)\|(.*)\|(.*)\|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    """An expression, and the VINs that it matches, or else the error that it gives."""

    text: str
    vins: frozenset[str]
    error: str | None


def read_fleet(page: str) -> list[Vehicle]:
    """Read the vehicles of the table."""
    return [
        Vehicle(
            vin,
            frozenset(tuple(one.rsplit("/", 1)) for one in _words(packages)),  # type: ignore[misc]
            frozenset(_words(components)),
            frozenset(tuple(one.split("=", 1)) for one in _words(attributes)),  # type: ignore[misc]
            frozenset(_words(groups)),
        )
        for vin, packages, components, attributes, groups in ROW.findall(page)
    ]


def read_examples(page: str) -> list[Example]:
    """Read the examples.

    Raises:
        ValueError: one is not followed by what it matches, or by its error.
    """
    found = [_read(match["text"], match["said"]) for match in EXAMPLE.finditer(page)]
    if len(found) != len(BLOCK.findall(page)):
        raise ValueError("an example is not followed by a line that says what it matches")
    return found


def _read(text: str, said: str) -> Example:
    if said.startswith("Error: `"):
        return Example(text, frozenset(), said.removeprefix("Error: `").removesuffix("`"))
    if said == "Matches none.":
        return Example(text, frozenset(), None)
    if not said.startswith("Matches `"):
        raise ValueError(f"{said!r} says neither what is matched nor an error")
    return Example(text, frozenset(re.findall(r"`([^`]*)`", said)), None)


def _words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(",") if word.strip()]
