"""Inserting a record of a database boundary (B4, B6)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.interaction import Interaction
from sota.boundaries.store_result import StoreResult
from sota.kit.sql.database import Tx


async def insert_record(tx: Tx, row: Interaction, statement: sa.Insert) -> StoreResult[Any]:
    """Insert a record: ``success`` with the first column of its key, which the engine may choose, or ``exists``.

    (Any: keys are texts or numbers.)
    """
    try:
        result = await tx.execute(statement)
    except IntegrityError:
        return StoreResult.of(row, "exists")
    key = result.inserted_primary_key
    return StoreResult.of(row, "success", key[0] if key is not None else None)
