"""The matrix that ``make faults`` prints: a row a step, a column for each way to be killed there, what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

MATRICES = pytest.StashKey[list[str]]()
"""The finished ones, which tests/conftest.py prints at the end of the run."""
RIGHT, WRONG, NOT_REACHED = "right", "WRONG", "not reached"
PLAYED = {RIGHT, WRONG}


@dataclass(frozen=True, slots=True)
class Entry:
    """One place: who was killed (``group``), at which ``step``, in which ``column``, and what came of it."""

    group: str
    step: str
    column: str
    word: str


def as_table(entries: Iterable[Entry], columns: tuple[str, ...]) -> str:
    """Format the matrix and, at its end, how many places are right; ``-`` means that there is no such place."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for entry in entries:
        rows.setdefault((entry.group, entry.step), {})[entry.column] = entry.word
    if not rows:
        return "no place was played"
    widths = [max(len(key[part]) for key in rows) + 2 for part in (0, 1)]
    gap = max(len(word) for word in (*columns, NOT_REACHED)) + 2
    lines = [" " * sum(widths) + "".join(f"{column:<{gap}}" for column in columns).rstrip()]
    shown = ""
    for (group, step), words in rows.items():
        first = group if group != shown else ""
        shown = group
        cells = "".join(f"{words.get(column, '-'):<{gap}}" for column in columns)
        lines.append(f"{first:<{widths[0]}}{step:<{widths[1]}}{cells}".rstrip())
    return "\n".join([*lines, _in_all([word for words in rows.values() for word in words.values()])])


def _in_all(words: list[str]) -> str:
    played, passed = sum(word in PLAYED for word in words), words.count(NOT_REACHED)
    ending = f"; {passed} more were not reached again: not every update makes these writes" if passed else ""
    return f"{words.count(RIGHT)} of {played} places right{ending}"
