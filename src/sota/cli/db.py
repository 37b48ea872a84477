"""``sota db``: upgrades a program's database (programs also do this at start)."""

from __future__ import annotations

import asyncio

from cyclopts import App

from sota.cli.databases import HERE, Place, Program, open_database

app = App(name="db", help="Upgrade a program's database.")


@app.command
def upgrade(program: Program, *, place: Place = HERE) -> None:
    """Apply missing migrations.

    Parameters
    ----------
    program
        Whose database.
    """
    asyncio.run(_upgrade(program, place))


async def _upgrade(program: Program, place: Place) -> None:
    async with open_database(program, place, may_be_empty=True) as database:
        print(f"{program}: {database.shown} is at the newest revision")
