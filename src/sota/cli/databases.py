"""Opens a program's database for an operator's command on the server's machine, with all rights.

The command works on an existing database and never creates one: a wrong folder or file is an error, not an empty
database beside the real one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sota.cli.schemas import database_url
from sota.core.settings import CoreSettings
from sota.kit.errors import StartError
from sota.kit.runtime.settings import load
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import current, upgrade
from sota.resolver.settings import ResolverSettings
from sota.web.settings import WebSettings

UP_DATABASE = "SOTA_UP_DATABASE"
Program = Literal["web", "core", "resolver"]
# Any: classes that share the arguments used here, which mypy does not know.
SETTINGS: dict[str, Any] = {"web": WebSettings, "core": CoreSettings, "resolver": ResolverSettings}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Place:
    """Which database a command works on."""

    config: Annotated[Path | None, Parameter(help="The program's TOML file, which names the database.")] = None
    database: Annotated[
        str | None,
        Parameter(
            help="Another URL than the settings': sqlite:///file.db or mysql://user:password@host:3306/schema. With"
            " --data the server of sota up: mysql://user:password@host:3306."
        ),
    ] = None
    data: Annotated[
        Path | None,
        Parameter(help="The folder of sota up --data; SOTA_UP_DATABASE or --database names its server, if it has one."),
    ] = None


HERE = Place()


@contextlib.asynccontextmanager
async def open_database(program: Program, place: Place, *, may_be_empty: bool = False) -> AsyncIterator[Database]:
    """Open and upgrade the database of ``place``; one without tables only if it ``may_be_empty``.

    Raises:
        StartError: it cannot be opened, or does not exist.
    """
    database = _open(program, place)
    try:
        await database.check()
        if not may_be_empty and await current(database) is None:
            raise StartError(f"{database.shown} has no tables of {program}: run sota db upgrade {program} first")
        await upgrade(database, f"sota.{program}.migrations")
        yield database
    finally:
        await database.close()


def _open(program: Program, place: Place) -> Database:
    if place.data is not None:
        if place.config is not None:
            raise StartError("--data and --config name two places: give one of them")
        url: str | None = database_url(place.data, place.database or os.environ.get(UP_DATABASE), program)
    else:
        url = place.database
    settings = load(
        SETTINGS[program], program, file=place.config, overrides={"database": url} if url is not None else {}
    )
    database = Database.of(settings)
    if database.is_sqlite and not Path(str(database.url.database)).is_file():
        maker = program if place.data is None else f"up --data {place.data}"
        raise StartError(f"{database.url.database}: there is no such database; sota {maker} makes it")
    return database
