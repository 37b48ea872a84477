r"""Expressions that test only fixed places of a VIN, as most do: ``^1HGC.*[0-4]$``.

A VIN has 17 characters, so a part that is anchored at its start or end is a set of allowed characters at each of some
places. Testing those takes a fraction of RE2's time. Any other expression is left to RE2.

>>> fixed_places("^1H.*[0-4x]$")
{0: frozenset({'1'}), 1: frozenset({'H'}), 16: frozenset({'0', '1', '2', '3', '4', 'x'})}
>>> fixed_places("HGC") is None
True
"""

from __future__ import annotations

import re

VIN_LENGTH = 17
Allowed = frozenset[str]

# A letter or digit, a dot, or a class of letters, digits and ranges; then an optional repetition count.
ATOM = re.compile(r"(?:(?P<plain>[A-Za-z0-9])|(?P<any>\.)|\[(?P<members>(?:[A-Za-z0-9](?:-[A-Za-z0-9])?)+)\])")
COUNT = re.compile(r"\{([0-9]{1,2})\}")
REPEATED = "*+?{"
ANY_TEXT = ".*"


def fixed_places(pattern: str) -> dict[int, Allowed] | None:
    """Return the characters allowed at each tested place; None if the expression has another form."""
    is_from_start, is_to_end = pattern.startswith("^"), pattern.endswith("$")
    if is_to_end:
        pattern = pattern[:-1]
    head, gap, tail = pattern.removeprefix("^").partition(ANY_TEXT)
    if gap:
        return _join(_read(head) if is_from_start or not head else None, _read(tail) if is_to_end or not tail else None)
    atoms = _read(head)
    if atoms is None or (is_from_start and is_to_end and len(atoms) != VIN_LENGTH):
        return None
    if is_from_start:
        return _join(atoms, [])
    return _join([], atoms) if is_to_end else None


def _join(head: list[Allowed | None] | None, tail: list[Allowed | None] | None) -> dict[int, Allowed] | None:
    """Assign places to the atoms at the start and at the end; they may not overlap."""
    if head is None or tail is None or len(head) + len(tail) > VIN_LENGTH:
        return None
    places = [*enumerate(head), *enumerate(tail, start=VIN_LENGTH - len(tail))]
    return {place: allowed for place, allowed in places if allowed is not None}


def _read(text: str) -> list[Allowed | None] | None:
    """Parse atoms, None for one that allows anything; None as a whole if there is anything else."""
    atoms: list[Allowed | None] = []
    position = 0
    while position < len(text):
        found = ATOM.match(text, position)
        if found is None:
            return None
        position = found.end()
        times = 1
        counted = COUNT.match(text, position)
        if counted is not None:
            times, position = int(counted.group(1)), counted.end()
        if text[position : position + 1] and text[position] in REPEATED:
            return None
        allowed = None if found["any"] else _characters(found["plain"] or found["members"])
        if allowed is not None and not allowed:
            return None
        atoms += [allowed] * times
    return atoms


def _characters(members: str) -> Allowed:
    characters: set[str] = set()
    for found in re.finditer(r"(.)-(.)|(.)", members):
        first, last, one = found.groups()
        characters |= {one} if one else {chr(code) for code in range(ord(first), ord(last) + 1)}
    return frozenset(characters)
