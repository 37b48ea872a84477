"""What commands that work on the Web Server's database share: opening it, and saying in the audit trail who they are.

Such a command is for an operator at the machine, who has no console: whoever may open the database may do all of it.
"""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.kit.clock import Clock, SystemClock
from sota.kit.db import Database
from sota.kit.migrations import upgrade
from sota.kit.settings import load
from sota.web.audit.model import Deed
from sota.web.audit.service import AuditTrail
from sota.web.settings import WebSettings

Config = Annotated[
    Path | None, Parameter(name="--config", help="The Web Server's TOML file, which names the database.")
]
Url = Annotated[
    str | None,
    Parameter(
        name="--database",
        help="Another URL than the settings': sqlite:///file.db or mysql://user:password@host:3306/schema.",
    ),
]


@dataclass(frozen=True, slots=True)
class WebDatabase:
    """The Web Server's database, as commands use it."""

    db: Database
    audit: AuditTrail
    clock: Clock

    async def note(self, interaction: str, what: str, outcome: str) -> None:
        """Leave an audit record of what the command did, under the interaction that does the same."""
        actor = f"command:{_user()}"
        await self.audit.record(Deed(self.clock.now(), actor, "local", interaction, what, outcome, 200))


@contextlib.asynccontextmanager
async def web_database(config: Path | None, url: str | None) -> AsyncIterator[WebDatabase]:
    """Open the database that the settings name, or another one; it is brought up to date first.

    Raises:
        StartError: it cannot be opened.
    """
    settings = load(WebSettings, "web", file=config, overrides={"database": url} if url else {})
    database = Database.of(settings)
    try:
        await database.check()
        await upgrade(database, "sota.web.migrations")
        yield WebDatabase(database, AuditTrail(database), SystemClock())
    finally:
        await database.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "unknown"
