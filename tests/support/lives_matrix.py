"""The places of the lives matrix (``lives.py``): what one side forgets or becomes, and at which moment of an update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.matrix_table import RIGHT, WRONG, Entry, as_table

DATABASES = ("core", "resolver", "web")
CHANGES = (
    "Core's database of an older copy",
    "the Resolver's database of an older copy",
    "Core's and the Resolver's",
    "all, by sota restore",
    "VIN erased and registered",
    "another VIN's identity",
    "the vehicle's folder of a copy",
    "last commits lost",
)
OLDER: dict[str, tuple[str, ...]] = {CHANGES[0]: ("core",), CHANGES[1]: ("resolver",), CHANGES[2]: ("core", "resolver")}
MOMENTS = ("before notify", "between blocks", "before the report", "after it")


@dataclass(frozen=True, slots=True)
class Cell:
    """One place: what is changed, when, and on which engine."""

    engine: str
    change: str
    moment: str

    def __str__(self) -> str:
        return f"{self.engine:<8} {self.change:<42} {self.moment}"


@dataclass(slots=True)
class Result:
    """What came of it; ``wrong`` is empty where all is as it should be."""

    cell: Cell
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.cell}  {WRONG if self.wrong else RIGHT}{': ' if self.wrong else ''}{'; '.join(self.wrong)}"


def cells_of(engine: str) -> list[Cell]:
    """List the places of an engine."""
    return [Cell(engine, change, moment) for change in CHANGES for moment in MOMENTS]


def as_matrix(results: Sequence[Result]) -> str:
    """Print all of them."""
    entries = (
        Entry(result.cell.engine, result.cell.change, result.cell.moment, WRONG if result.wrong else RIGHT)
        for result in results
    )
    return as_table(entries, MOMENTS)
