"""Typed results of stores: the outcomes of the database boundaries (B4, B6), with the row's literal text for the log.

>>> from sota.boundaries.b4_core_database import rows
>>> StoreResult.of(rows.NEW_VIN, "exists").text
'Record exists'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from sota.boundaries.interaction import Interaction, results
from sota.kit.runtime.logging import get_logger

Data = TypeVar("Data")
_log = get_logger()

FOUND = results("found", None, "the entry's data")
MISSING = results("missing", "Record does not exists", "there is no such entry")
REJECTED = results("rejected", None, "wrong user or password: the database rejects the connection")
FOUND_OR_MISSING = (FOUND, MISSING, REJECTED)
NEW_OR_EXISTS = (
    results("success", "Success", "a new entry is made"),
    results("exists", "Record exists", "the entry is there already"),
)
"""What most statements give, word for word."""


@dataclass(frozen=True, slots=True)
class StoreResult(Generic[Data]):
    """The result of a statement: the outcome's name, its literal text, and the data, if any."""

    outcome: str
    text: str | None = None
    data: Data | None = None

    @classmethod
    def of(cls, row: Interaction, outcome: str, data: Data | None = None) -> StoreResult[Data]:
        """Log the row's outcome and return it.

        Raises:
            LookupError: the row has no such outcome.
        """
        declared = row.outcome(outcome)
        if declared is None:
            raise LookupError(f"{row.id} declares no outcome {outcome!r}")
        _log.debug("database_answered", interaction=row.id, outcome=outcome, text=declared.message)
        return cls(outcome, declared.message, data)

    @classmethod
    def found(cls, row: Interaction, data: Data | None) -> StoreResult[Data]:
        """Return what was looked up as ``found``, or ``missing`` where that is nothing."""
        return cls.of(row, "found" if data else "missing", data or None)
