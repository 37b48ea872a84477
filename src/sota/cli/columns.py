"""Prints a list in columns, never truncated on a narrow screen: programs read the output, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_columns(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their titles."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
