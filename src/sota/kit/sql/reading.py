"""A connection for reading that repeats a statement when its connection is lost.

Each statement of a read sees what is committed when it runs (:func:`~sota.kit.sql.engines.mariadb_engines`), so a
repeated one gives a result as valid as the first. In a transaction that sees one snapshot this does not hold:
``repeats`` is off there.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from sota.kit.sql import errors as db_errors

ATTEMPTS = 5


async def pause_before(attempt: int) -> None:
    """Wait before the next attempt, randomly, so that two transactions do not collide again."""
    await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret


class ReadConnection(AsyncConnection):
    """A connection of the reading engine."""

    repeats = True

    async def start(self, is_ctxmanager: bool = False) -> AsyncConnection:
        """Connect; try again if the server was down for a moment."""
        attempt = 1
        while True:
            try:
                return await super().start(is_ctxmanager)
            except DBAPIError as error:
                if attempt == ATTEMPTS or not db_errors.is_repeatable(error):
                    raise
            await pause_before(attempt)
            attempt += 1

    async def begin_one_moment(self) -> None:
        """Begin a transaction that sees one snapshot; its statements are not repeated."""
        self.repeats = False
        attempt = 1
        while True:
            try:
                await super().execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                await super().execute(sa.text("START TRANSACTION WITH CONSISTENT SNAPSHOT"))
                return
            except DBAPIError as error:
                if attempt == ATTEMPTS or not db_errors.is_repeatable(error):
                    raise
            await self.rollback()
            attempt += 1

    async def execute(
        self, statement: Any, parameters: Any = None, *, execution_options: Any = None
    ) -> sa.CursorResult[Any]:
        """Execute a statement that reads; repeat it over another connection if this one was lost.

        (Any: as in the method that this one replaces, whose overloads tie the row to the statement.)
        """
        attempt = 1
        while True:
            try:
                found: sa.CursorResult[Any] = await super().execute(
                    statement, parameters, execution_options=execution_options
                )
                return found
            except DBAPIError as error:
                if not self.repeats or attempt == ATTEMPTS or not db_errors.is_repeatable(error):
                    raise
            await self.rollback()  # allows it to connect again
            if attempt > 1:  # a killed connection needs no pause; a server that restarts does
                await pause_before(attempt)
            attempt += 1
