"""Tree to text, and text to tidy text.

>>> format_filter("vin_matches( '^WVW' )AND  NOT(TRUE OR FALSE) // all but none")
"vin_matches('^WVW') AND NOT (TRUE OR FALSE) // all but none"
"""

from __future__ import annotations

from sota.resolver.language.expression import (
    And,
    Constant,
    Expression,
    HasAttribute,
    HasComponent,
    HasPackage,
    HasPackageVersion,
    InGroup,
    Leaf,
    Not,
    Or,
    VinMatches,
)
from sota.resolver.language.grammar import TESTS
from sota.resolver.language.parser import WORD, parse


def render(expression: Expression) -> str:
    """Write a tree as text, with no more parentheses than it needs: ``parse`` gives the same tree again."""
    match expression:
        case Not(part):
            return f"NOT {_inside(part, (Not, And, Or))}"
        case And(parts):
            return " AND ".join(_inside(part, (And, Or)) for part in parts)
        case Or(parts):
            return " OR ".join(_inside(part, (Or,)) for part in parts)
        case _:
            return render_leaf(expression)


def render_leaf(leaf: Leaf) -> str:  # noqa: PLR0911 - one return for each kind of leaf
    """Write a single test as text."""
    match leaf:
        case Constant(value):
            return "TRUE" if value else "FALSE"
        case VinMatches(vin):
            return f"vin_matches {_quoted(vin.pattern)}"
        case HasComponent(part_number):
            return f"has_component {_quoted(part_number.pattern)}"
        case HasPackage(name, version):
            return f"has_package {_quoted(name.pattern)} {_quoted(version.pattern)}"
        case HasPackageVersion(text, operator, numbers):
            return f"package_version {_quoted(text)} {operator} {_quoted(numbers)}"
        case HasAttribute(text, value):
            return f"attribute {_quoted(text)} {_quoted(value.pattern)}"
        case InGroup(text):
            return f"in_group {_quoted(text)}"


def format_filter(text: str) -> str:
    """Tidy a filter's spaces and lines; its words, parentheses, quotes and comments stay as they are.

    Raises:
        FilterSyntaxError: it is none.
    """
    parse(text)
    lines, before = [""], ""
    for word in (found.group() for found in WORD.finditer(text)):
        if before.startswith("//"):
            lines.append("")
        elif lines[-1] and _apart(before, word):
            lines[-1] += " "
        lines[-1] += word.rstrip() if word.startswith("//") else word
        before = word
    return "\n".join(lines)


def _apart(before: str, word: str) -> bool:
    return before != "(" and word not in (")", ",") and not (word == "(" and before in TESTS)


def _inside(part: Expression, needing: tuple[type, ...]) -> str:
    return f"({render(part)})" if isinstance(part, needing) else render(part)


def _quoted(text: str) -> str:
    quote = "'" if '"' in text else '"'
    return f"{quote}{text}{quote}"
