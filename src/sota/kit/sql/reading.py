"""A connection for reading that repeats a statement when its connection is lost.

Each statement of a read sees what is committed when it runs (:func:`~sota.kit.sql.engines.mariadb_engine`), so a
repeated one gives a result as valid as the first. In a transaction that sees one snapshot this does not hold:
``repeats`` is off there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from sota.kit.sql import errors as db_errors

Result = TypeVar("Result")

ATTEMPTS = 5


async def pause_before(attempt: int) -> None:
    """Wait before the next attempt, randomly, so that two transactions do not collide again."""
    await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret


async def _repeatedly(work: Callable[[], Awaitable[Result]], prepare: Callable[[int], Awaitable[object]]) -> Result:
    """Do work; if its connection was lost, prepare the next attempt and do it again."""
    attempt = 1
    while True:
        try:
            return await work()
        except DBAPIError as error:
            if attempt == ATTEMPTS or not db_errors.is_repeatable(error):
                raise
        await prepare(attempt)
        attempt += 1


class ReadConnection(AsyncConnection):
    """A connection of the reading engine."""

    repeats = True

    async def start(self, is_ctxmanager: bool = False) -> AsyncConnection:
        """Connect; try again if the server was down for a moment."""
        start = super().start
        return await _repeatedly(lambda: start(is_ctxmanager), pause_before)

    async def begin_one_moment(self) -> None:
        """Begin a transaction that sees one snapshot; its statements are not repeated."""
        self.repeats = False
        await _repeatedly(self._begin_one_moment, lambda _: self.rollback())

    async def _begin_one_moment(self) -> None:
        await self.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await self.execute(sa.text("START TRANSACTION WITH CONSISTENT SNAPSHOT"))

    async def execute(
        self, statement: Any, parameters: Any = None, *, execution_options: Any = None
    ) -> sa.CursorResult[Any]:
        """Execute a statement that reads; repeat it over another connection if this one was lost.

        (Any: as in the method that this one replaces, whose overloads tie the row to the statement.)
        """
        execute = partial(super().execute, statement, parameters, execution_options=execution_options)
        return await (_repeatedly(execute, self._connect_again) if self.repeats else execute())

    async def _connect_again(self, attempt: int) -> None:
        await self.rollback()  # allows it to connect again
        if attempt > 1:  # a killed connection needs no pause; a server that restarts does
            await pause_before(attempt)
