"""Makes a backup of a stopped backend."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sota import __version__
from sota.cli.backup import mariadb, sqlite
from sota.cli.backup.archive import Advance, Writer, writing
from sota.cli.backup.manifest import FORMAT, Manifest, SavedDatabase, SavedFolder
from sota.cli.backup.place import BackendPlace, Part
from sota.core.tables import package
from sota.kit.errors import StartError
from sota.kit.files.data_folder import claimed
from sota.kit.files.objects import Objects

SETTLE_S = 0.2
"""How long the threads of the object store's client need to release its answers: do not exit before."""


@dataclass(slots=True)
class Saved:
    """The backup, and the package files that Core names but the repository does not have."""

    manifest: Manifest
    missing: list[str] = field(default_factory=list)


def size_of(place: BackendPlace) -> int:
    """Return how many bytes of files a backup will read, for a progress bar; rows of MariaDB are not counted."""
    parts = [*place.parts, *(place.database_part(name) for name in place.databases if place.is_sqlite)]
    return sum(
        file.lstat().st_size for part in parts for entry in part.entries() for file in (entry, *entry.rglob("*"))
    )


async def save(place: BackendPlace, file: Path, advance: Advance) -> Saved:
    """Write a backup.

    Raises:
        StartError: the backend runs, something cannot be read, or the backup cannot be written.
    """
    _refuse_to_make(place)
    with claimed(*place.claims):
        if not place.is_sqlite:
            for program, settings in place.databases.items():
                await mariadb.refuse_while_used(program, settings)
        with writing(file, advance) as writer:
            databases = await _save_databases(place, writer)
            folders = [folder for part in place.parts for folder in _save_part(part, writer)]
            keys = await package_keys(place)
            manifest = Manifest(
                format=FORMAT,
                product=__version__,
                created_at=datetime.now(UTC),
                engine="sqlite" if place.is_sqlite else "mariadb",
                databases=databases,
                parts=[part.name for part in place.parts],
                folders=folders,
                files=writer.files,
                repository=place.repository.partition("?")[0] if "://" in place.repository else None,
                package_files=len(keys),
            )
            missing = await missing_objects(place.repository, keys)
            writer.finish(manifest)
    return Saved(manifest, missing)


def _refuse_to_make(place: BackendPlace) -> None:
    """Create no parent folder: a wrong name is an error."""
    for claim in place.claims:
        if not claim.folder.is_dir():
            raise StartError(f"{claim.folder}: there is no such folder of a backend")


async def _save_databases(place: BackendPlace, writer: Writer) -> dict[str, SavedDatabase]:
    if place.is_sqlite:
        return {program: sqlite.save(place.database_file(program), program, writer) for program in place.databases}
    async with place.opened() as databases:
        for database in databases.values():
            await database.check()
        return {program: await mariadb.save(database, program, writer) for program, database in databases.items()}


def _save_part(part: Part, writer: Writer) -> list[SavedFolder]:
    folders: list[SavedFolder] = []
    for entry in part.entries():
        for path in (entry, *sorted(entry.rglob("*"))):
            name, mode = f"parts/{part.name}/{path.relative_to(part.root)}", path.lstat().st_mode & 0o777
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise StartError(f"{path} is a link or no plain file: a backup cannot hold it")
            if path.is_dir():
                folders.append(SavedFolder(name=name, mode=mode))
            else:
                writer.add_file(name, path, mode=mode)
    return folders


async def package_keys(place: BackendPlace) -> list[str]:
    """List the files that Core's register of packages names."""
    async with place.opened() as databases, databases["core"].read() as tx:
        return sorted((await tx.execute(sa.select(package.c.uri))).scalars())


async def missing_objects(repository: str, keys: list[str]) -> list[str]:
    """List the files that are missing in the repository."""
    if "://" not in repository:
        return [key for key in keys if not (Path(repository) / key).is_file()]
    objects = Objects(repository)
    missing = [key for key in keys if not await objects.exists(key)]
    await asyncio.sleep(SETTLE_S)
    return missing


def as_document(saved: Saved, file: Path) -> dict[str, object]:
    """Return a backup's content as JSON."""
    manifest = saved.manifest
    return {
        "file": str(file),
        "size_bytes": file.stat().st_size,
        "product": manifest.product,
        "created_at": manifest.created_at.isoformat(),
        "engine": manifest.engine,
        "databases": msgspec.to_builtins(manifest.databases),
        "parts": manifest.parts,
        "files": len(manifest.files),
        "package_files": manifest.package_files,
        "missing_package_files": saved.missing,
        "not_included": [manifest.repository] if manifest.repository else [],
    }
