"""``sota db``: brings a program's database to the newest revision (programs do it themselves at start as well)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

from cyclopts import App

from sota.core.settings import CoreSettings
from sota.kit.db import Database
from sota.kit.migrations import upgrade as apply
from sota.kit.settings import load
from sota.resolver.settings import ResolverSettings
from sota.web.settings import WebSettings

app = App(name="db", help="Upgrade a program's database.")


@app.command
def upgrade(
    program: Literal["web", "core", "resolver"], *, config: Path | None = None, database: str | None = None
) -> None:
    """Apply the migrations that are missing.

    Parameters
    ----------
    program
        Whose database.
    config
        The program's TOML file, which names the database.
    database
        Another URL than the settings': sqlite:///file.db or mysql://user:password@host:3306/schema.
    """
    asyncio.run(_upgrade(program, config, database))


async def _upgrade(program: str, config: Path | None, url: str | None) -> None:
    settings: WebSettings | CoreSettings | ResolverSettings = load(
        _kind(program), program, file=config, overrides={"database": url} if url else {}
    )
    database = Database.of(settings)
    try:
        await database.check()
        await apply(database, f"sota.{program}.migrations")
    finally:
        await database.close()
    print(f"{program}: {database.shown} is at the newest revision")


def _kind(program: str) -> Any:
    return {"web": WebSettings, "core": CoreSettings, "resolver": ResolverSettings}[program]
