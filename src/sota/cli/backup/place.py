"""Where a backend stores the content of a backup: in one folder of ``sota up``, or in several with a settings file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sota.cli.backend import claims_of
from sota.cli.databases import SETTINGS
from sota.cli.schemas import database_url
from sota.kit.errors import StartError
from sota.kit.files.data_folder import RESTORING, Claim
from sota.kit.runtime.settings import load
from sota.kit.sql.database import Database
from sota.kit.sql.engines import Address
from sota.kit.sql.settings import DatabaseSettings
from sota.rvi.settings import NodeSettings

STAGED, ASIDE = ".restore-new", ".restore-old"
"""Prefixes of the folders in which a restore keeps new and replaced files."""

WEB_FILES = ("web-tls", "first-password")
CORE_FILES = ("core-callback.secret", "revoked.txt")


@dataclass(frozen=True, slots=True)
class Part:
    """A folder whose entries are backed up: all of them, or those with these names."""

    name: str
    root: Path
    names: tuple[str, ...] | None = None

    def holds(self, name: str) -> bool:
        """Return whether an entry of the folder belongs to the backup."""
        if self.names is not None:
            return name in self.names
        return not (
            name == RESTORING or name.startswith((STAGED, ASIDE)) or (name[0] == "." and name.endswith(".lock"))
        )

    def entries(self) -> Iterator[Path]:
        """List the existing entries."""
        if self.root.is_dir():
            yield from (path for path in sorted(self.root.iterdir()) if self.holds(path.name))


@dataclass(frozen=True, slots=True)
class BackendPlace:
    """A backend: its databases, its folders, its package repository, and the folders that its programs lock."""

    databases: dict[str, DatabaseSettings]
    parts: tuple[Part, ...]
    claims: tuple[Claim, ...]
    repository: str

    @property
    def is_sqlite(self) -> bool:
        """Whether the databases are files."""
        return all(Address.read(settings.database).is_sqlite for settings in self.databases.values())

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[dict[str, Database]]:
        """Open the databases, and close them at the end."""
        async with closing({program: Database.of(settings) for program, settings in self.databases.items()}) as opened:
            yield opened

    def database_file(self, program: str) -> Path:
        """Return the file of a SQLite database."""
        return Path(str(Address.read(self.databases[program].database).url.database))

    def database_part(self, program: str) -> Part:
        """Return a SQLite database as a part: its folder, and the names of its files."""
        file = self.database_file(program)
        return Part(program, file.parent, tuple(f"{file.name}{end}" for end in ("", "-wal", "-shm")))


@contextlib.asynccontextmanager
async def closing(databases: dict[str, Database]) -> AsyncIterator[dict[str, Database]]:
    """Close the databases at the end."""
    try:
        yield databases
    finally:
        for database in databases.values():
            await database.close()


def place_of_up(data: Path, server: str | None, password_file: Path | None) -> BackendPlace:
    """Return the place of ``sota up --data``, and of its database server if it has one."""
    given: dict[str, Any] = {"database_password_file": password_file}  # Any: arguments of any setting
    databases = {name: kind(database=database_url(data, server, name), **given) for name, kind in SETTINGS.items()}
    parts = (
        Part("secrets", data / "secrets"),
        Part("authority", data / "authority"),
        Part("identity", data / "node" / "identity"),
        Part("web", data / "web", WEB_FILES),
        Part("core", data / "core", CORE_FILES),
        Part("packages", data / "packages"),
    )
    return _checked(BackendPlace(databases, parts, claims_of(data), str(data / "packages")))


def place_of_settings(config: Path, server: str | None, password_file: Path | None, etc: Path | None) -> BackendPlace:
    """Return the place of separate programs, by their settings file; ``etc`` is a folder to include."""
    loaded: dict[str, Any] = {}  # Any: settings of three classes
    for name, kind in SETTINGS.items():
        url = database_url(Path(), server, name) if server is not None else None
        given = {"database": url, "database_password_file": password_file}
        loaded[name] = load(kind, name, file=config, overrides=given)
    node = load(NodeSettings, "rvi-node", file=config)
    web, core = loaded["web"], loaded["core"]
    parts = [
        Part("authority", core.authority),
        Part("identity", node.identity),
        Part("web", web.data, WEB_FILES),
        Part("core", core.data, CORE_FILES),
    ]
    if "://" not in web.repository:
        parts.append(Part("packages", Path(web.repository)))
    if etc is not None:
        parts.append(Part("etc", etc))
    claims = (*(Claim(loaded[name].data, name) for name in loaded), Claim(node.data, "rvi-node"))
    return _checked(BackendPlace(loaded, tuple(parts), claims, web.repository))


def _checked(place: BackendPlace) -> BackendPlace:
    if len({Address.read(settings.database).is_sqlite for settings in place.databases.values()}) > 1:
        raise StartError("the three databases must all be files, or all be on a MariaDB server")
    return place
