"""Shared by commands on the Web Server's database: opening it, and recording in the audit trail who ran them.

Such a command is for an operator on the server's machine: a user that can open the database has all rights.
"""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sota.cli.databases import Place, open_database
from sota.kit.audit.model import AuditedAction
from sota.kit.audit.trail import AuditTrail
from sota.kit.runtime.clock import Clock, SystemClock
from sota.kit.sql.database import Database


@dataclass(frozen=True, slots=True)
class WebDatabase:
    """The Web Server's database, as commands use it."""

    db: Database
    audit: AuditTrail
    clock: Clock

    async def note(self, interaction: str, what: str, outcome: str) -> None:
        """Write an audit record of what the command did, under the interaction that does the same."""
        actor = f"command:{_user()}"
        await self.audit.record(AuditedAction(self.clock.now(), actor, "local", interaction, what, outcome, 200))


@contextlib.asynccontextmanager
async def web_database(place: Place) -> AsyncIterator[WebDatabase]:
    """Open and upgrade the database of ``place``.

    Raises:
        StartError: it cannot be opened.
    """
    async with open_database("web", place) as database:
        yield WebDatabase(database, AuditTrail(database), SystemClock())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
