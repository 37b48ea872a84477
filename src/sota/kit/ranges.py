"""Sets of numbers as ranges: ``1-10,12``, as received blocks are reported.

Numbers arrive mostly in order, so a set is a few ranges however long the file is: the cost of adding, asking and
writing depends on the ranges, not on the numbers.

>>> ranges = Ranges.parse("1-3,5")
>>> ranges.add(4)
True
>>> ranges.text()
'1-5'
>>> list(ranges.missing(8))
[6, 7, 8]
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A set of whole numbers from 1, kept as closed ranges that neither touch nor overlap."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for number in numbers:
            self.add(number)

    @classmethod
    def up_to(cls, last: int) -> Ranges:
        """Return all numbers from 1 to ``last``."""
        ranges = cls()
        if last > 0:
            ranges._starts, ranges._ends = [1], [last]
        return ranges

    @classmethod
    def parse(cls, text: str) -> Ranges:
        """Parse ``1-10,12``. Ranges may overlap and be in any order; the empty text is the empty set.

        Raises:
            ValueError: it is invalid, or a range runs backwards or begins below 1.
        """
        pairs = []
        for part in text.split(",") if text else ():
            first, dash, last = part.partition("-")
            start, end = int(first), int(last if dash else first)
            if not 1 <= start <= end:
                raise ValueError(f"not a range of numbers from 1: {part!r}")
            pairs.append((start, end))
        return cls._joined(sorted(pairs))

    @classmethod
    def _joined(cls, pairs: Iterable[tuple[int, int]]) -> Ranges:
        """Return a set of closed ranges that are sorted by their starts."""
        ranges = cls()
        for start, end in pairs:
            if ranges._ends and start <= ranges._ends[-1] + 1:
                ranges._ends[-1] = max(end, ranges._ends[-1])
            else:
                ranges._starts.append(start)
                ranges._ends.append(end)
        return ranges

    def add(self, number: int) -> bool:
        """Add one number; return whether it is new."""
        if number < 1:
            raise ValueError(f"numbers begin at 1, not {number}")
        at = bisect_right(self._starts, number)
        if at and number <= self._ends[at - 1]:
            return False
        joins_before = bool(at) and self._ends[at - 1] == number - 1
        joins_after = at < len(self._starts) and self._starts[at] == number + 1
        if joins_before and joins_after:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_before:
            self._ends[at - 1] = number
        elif joins_after:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number)
        return True

    def missing(self, last: int) -> Iterator[int]:
        """Yield the numbers from 1 to ``last`` that are not in the set, the lowest first."""
        if self._starts == [1]:  # by far the most common
            return iter(range(self._ends[0] + 1, last + 1))
        return self._missing(last)

    def _missing(self, last: int) -> Iterator[int]:
        expected = 1
        for start, end in zip(tuple(self._starts), tuple(self._ends), strict=True):
            yield from range(expected, min(start, last + 1))
            expected = end + 1
        yield from range(expected, last + 1)

    def text(self, limit: int | None = None) -> str:
        """Format the set. Over ``limit`` characters the highest ranges are left out: less, but still true."""
        parts: list[str] = []
        length = 0
        for start, end in zip(self._starts, self._ends, strict=True):
            part = str(start) if start == end else f"{start}-{end}"
            length += len(part) + 1
            if limit is not None and length - 1 > limit:
                break
            parts.append(part)
        return ",".join(parts)

    def union(self, other: Ranges) -> Ranges:
        """Return the union as a new set."""
        if len(self._starts) == 1 and other._starts[:1] == self._starts and other._ends[0] >= self._ends[0]:
            return other.copy()
        pairs = sorted([*zip(self._starts, self._ends, strict=True), *zip(other._starts, other._ends, strict=True)])
        return self._joined(pairs)

    def within(self, last: int) -> Ranges:
        """Return a new set without the numbers over ``last``."""
        if self._ends and self._ends[-1] <= last:
            return self.copy()
        pairs = zip(self._starts, self._ends, strict=True)
        return self._joined([(start, min(end, last)) for start, end in pairs if start <= last])

    def copy(self) -> Ranges:
        """Return a copy."""
        twin = Ranges()
        twin._starts, twin._ends = self._starts[:], self._ends[:]
        return twin

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number)
        return bool(at) and number <= self._ends[at - 1]

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and (self._starts, self._ends) == (other._starts, other._ends)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Ranges.parse({self.text()!r})"
