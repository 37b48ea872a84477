"""Hints: valid parts of a filter that may not mean what its author thinks.

>>> from sota.resolver.language.parser import parse
>>> [hint.text for hint in find_hints(parse('has_package "^ivi$" "1.0"'))]
["'1.0' is searched for anywhere, and . is any character: it also finds 11.0.2; package_version compares versions"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sota.resolver.language.expression import (
    Expression,
    HasAttribute,
    HasComponent,
    HasPackage,
    Leaf,
    Place,
    VinMatches,
    walk,
)
from sota.resolver.language.regex import Regex

# A repetition after a single letter, digit, _ or -; in a file name pattern it would mean any text.
QUESTION = re.compile(r"(?<!\\)[A-Za-z0-9_-]\?")
STAR = re.compile(r"(?<!\\)[A-Za-z0-9_-]\*")
PLAIN_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)+\Z")


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint, and the place of its test."""

    place: Place
    text: str


def find_hints(expression: Expression) -> list[Hint]:
    """Return the hints on an expression, ordered by place."""
    found: set[Hint] = set()
    for _depth, part in walk(expression):
        if isinstance(part, Leaf):
            found |= {Hint(part.place or Place(1, 1), text) for text in _of_leaf(part)}
    return sorted(found, key=lambda hint: (hint.place, hint.text))


def _of_leaf(leaf: Leaf) -> Iterator[str]:
    match leaf:
        case VinMatches(regex) | HasComponent(regex) | HasAttribute(_, regex):
            yield from _of_glob(regex)
        case HasPackage(name, version):
            yield from _of_glob(name)
            yield from _of_glob(version)
            if PLAIN_VERSION.match(version.pattern):
                yield (
                    f"{version.pattern!r} is searched for anywhere, and . is any character: it also finds "
                    f"1{version.pattern}.2; package_version compares versions"
                )
        case _:
            return


def _of_glob(regex: Regex) -> Iterator[str]:
    if QUESTION.search(regex.pattern):
        yield f"in {regex.pattern!r} a ? makes the character before it optional: for any one character write ."
    if STAR.search(regex.pattern):
        yield f"in {regex.pattern!r} a * repeats the character before it: for any text write .*"
