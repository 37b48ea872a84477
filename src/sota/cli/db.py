"""``sota db``: brings a program's database to the newest revision (programs do it themselves at start as well)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cyclopts import App

from sota.cli.databases import Config, Program, Url, open_database

app = App(name="db", help="Upgrade a program's database.")


@app.command
def upgrade(program: Program, *, config: Config = None, database: Url = None) -> None:
    """Apply the migrations that are missing.

    Parameters
    ----------
    program
        Whose database.
    """
    asyncio.run(_upgrade(program, config, database))


async def _upgrade(program: Program, config: Path | None, url: str | None) -> None:
    async with open_database(program, config, url) as database:
        print(f"{program}: {database.shown} is at the newest revision")
