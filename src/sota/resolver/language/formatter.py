"""Tree to text, and text to formatted text.

>>> format_filter("vin_matches( '^WVW' )AND  NOT(TRUE OR FALSE) // all but none")
"vin_matches('^WVW') AND NOT (TRUE OR FALSE) // all but none"
"""

from __future__ import annotations

from collections.abc import Sequence

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

WIDTH = 100
INDENT = "  "


def render(expression: Expression) -> str:
    """Return a tree as text, with no unneeded parentheses: ``parse`` returns the same tree again."""
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
    """Return a single test as text."""
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
    """Format a filter's spaces and lines; its words, parentheses, quotes and comments stay as they are.

    A line that is too long is broken before OR, then before AND, then inside parentheses.

    Raises:
        FilterSyntaxError: it is not a filter.
    """
    parse(text)
    return "\n".join(_lay_out([found.group() for found in WORD.finditer(text)], WIDTH))


def _lay_out(words: Sequence[str], width: int) -> list[str]:
    """Return the lines of a part of a filter."""
    lines = _flow(words)
    if len(lines) == 1 and len(lines[0]) <= width:
        return lines
    for operator in ("OR", "AND"):
        parts = _split(words, operator)
        if len(parts) > 1:
            return _lay_out_chain(parts, operator, width)
    opened = words.index("(") if "(" in words else 0
    if words[-1] == ")" and words[:opened] in ([], ["NOT"]):
        inside = _lay_out(words[opened + 1 : -1], width - len(INDENT))
        return [" ".join([*words[:opened], "("]), *(f"{INDENT}{line}" for line in inside), ")"]
    return lines


def _lay_out_chain(parts: Sequence[Sequence[str]], operator: str, width: int) -> list[str]:
    lines: list[str] = []
    for part in parts:
        before = f"{operator} " if lines else ""
        first, *others = _lay_out(part, width - len(operator) - 1)
        # An AND that was broken inside an OR is indented more, to show that it binds tighter.
        further = " " * (len(operator) + 1) if operator == "OR" and len(_split(part, "AND")) > 1 else ""
        lines += [f"{before}{first}", *(f"{further}{line}" for line in others)]
    return lines


def _split(words: Sequence[str], operator: str) -> list[list[str]]:
    """Split at each operator outside parentheses."""
    parts: list[list[str]] = [[]]
    nested = 0
    for word in words:
        nested += (word == "(") - (word == ")")
        if word == operator and not nested:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _flow(words: Sequence[str]) -> list[str]:
    """Return one line, or more where a comment ends one."""
    lines, before = [""], ""
    for word in words:
        if before.startswith("//"):
            lines.append("")
        elif lines[-1] and _apart(before, word):
            lines[-1] += " "
        lines[-1] += word.rstrip() if word.startswith("//") else word
        before = word
    return lines


def _apart(before: str, word: str) -> bool:
    return before != "(" and word not in (")", ",") and not (word == "(" and before in TESTS)


def _inside(part: Expression, needing: tuple[type, ...]) -> str:
    return f"({render(part)})" if isinstance(part, needing) else render(part)


def _quoted(text: str) -> str:
    quote = "'" if '"' in text else '"'
    return f"{quote}{text}{quote}"
