"""Opening a program's database for a command of an operator at the machine: whoever may open it may do all of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sota.core.settings import CoreSettings
from sota.kit.db import Database
from sota.kit.migrations import upgrade
from sota.kit.settings import load
from sota.resolver.settings import ResolverSettings
from sota.web.settings import WebSettings

Config = Annotated[Path | None, Parameter(name="--config", help="The program's TOML file, which names the database.")]
Url = Annotated[
    str | None,
    Parameter(
        name="--database",
        help="Another URL than the settings': sqlite:///file.db or mysql://user:password@host:3306/schema.",
    ),
]
Program = Literal["web", "core", "resolver"]
SETTINGS: dict[str, Any] = {"web": WebSettings, "core": CoreSettings, "resolver": ResolverSettings}


@contextlib.asynccontextmanager
async def open_database(program: Program, config: Path | None, url: str | None) -> AsyncIterator[Database]:
    """Open the database that a program's settings name, or another one; it is brought up to date first.

    Raises:
        StartError: it cannot be opened.
    """
    settings = load(SETTINGS[program], program, file=config, overrides={"database": url} if url else {})
    database = Database.of(settings)
    try:
        await database.check()
        await upgrade(database, f"sota.{program}.migrations")
        yield database
    finally:
        await database.close()
