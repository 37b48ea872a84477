"""The table: all rows of the whitelist and our extensions, by id.

>>> len(whitelisted())
99
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sota.boundaries.b0_operation.rows import ROWS as B0
from sota.boundaries.b1_browser_web.rows import ROWS as B1
from sota.boundaries.b2_web_core.rows import ROWS as B2
from sota.boundaries.b3_web_resolver.rows import ROWS as B3
from sota.boundaries.b4_core_database.rows import ROWS as B4
from sota.boundaries.b5_core_resolver.rows import ROWS as B5
from sota.boundaries.b6_resolver_database.rows import ROWS as B6
from sota.boundaries.b7_core_rvi.rows import ROWS as B7
from sota.boundaries.b8_rvi_rvi.rows import ROWS as B8
from sota.boundaries.b9_rvi_client.rows import ROWS as B9
from sota.boundaries.b10_client_slm.rows import ROWS as B10
from sota.boundaries.b11_billing_core.rows import ROWS as B11
from sota.boundaries.b12_logistics_core.rows import ROWS as B12
from sota.boundaries.b13_web_repository.rows import ROWS as B13
from sota.boundaries.interaction import Interaction, Program


def build(*boundaries: tuple[Interaction, ...]) -> Mapping[str, Interaction]:
    """Join the boundaries' rows into one table, of each boundary the whitelist's own rows first.

    Raises:
        ValueError: an id stands twice, or two outcomes of a row have one name.
    """
    table: dict[str, Interaction] = {}
    for row in (row for rows in boundaries for row in sorted(rows, key=_place)):
        if row.id in table:
            raise ValueError(f"{row.id} is declared twice")
        names = [outcome.name for outcome in (*row.outcomes, *row.also)]
        if len(set(names)) != len(names):
            raise ValueError(f"{row.id} has two outcomes of one name")
        table[row.id] = row
    return MappingProxyType(table)


def _place(row: Interaction) -> tuple[bool, int]:
    return row.id.startswith("X-"), int(row.id.rpartition("-")[2])


TABLE = build(B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13)


def rows_for(callee: Program) -> tuple[Interaction, ...]:
    """All rows that this program answers, those of operation included."""
    return tuple(row for row in TABLE.values() if row.callee in {callee, Program.EVERY})


def whitelisted() -> tuple[Interaction, ...]:
    """The 99 rows of the whitelist itself, without what was added to it."""
    return tuple(row for row in TABLE.values() if not row.is_extension)
