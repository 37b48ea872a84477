"""Restores a stopped backend from a backup.

Rules kept here:

* nothing is changed before the whole backup was read and compared with its manifest, and all new files are complete
  on the disk beside the old ones;
* from the first change to the last one, a mark keeps the programs from starting: a killed restore is repeated, and a
  half-restored backend never runs;
* connected clients are unknown to a restored database: every vehicle gets another epoch, and every session ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from sota.cli.backup import mariadb, sqlite
from sota.cli.backup.archive import Advance, Reader, reading
from sota.cli.backup.manifest import Manifest, SavedDatabase, SavedFile
from sota.cli.backup.place import ASIDE, STAGED, BackendPlace, Part, closing
from sota.cli.backup.saving import missing_objects, package_keys
from sota.core.vehicles.epoch_store import renew_epochs
from sota.kit.errors import SotaError, StartError
from sota.kit.files.data_folder import RESTORING, claimed
from sota.kit.files.durable import private_folder, sync, sync_folder, write_atomic
from sota.kit.runtime import faults
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.web.tables import SESSION

MODES = 0o755
"""The widest mode of a restored file: a private file stays private."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored."""

    manifest: Manifest
    vehicles: int
    missing: list[str]


def check(file: Path, advance: Advance) -> Manifest:
    """Read a whole backup and compare it with its manifest.

    Raises:
        StartError: it is damaged, or is not a backup.
    """
    with reading(file) as reader:
        reader.verify(advance)
        _check_rows(reader)
        return reader.manifest


async def restore(place: BackendPlace, file: Path, advance: Advance, *, force: bool) -> Restored:
    """Replace a backend's databases and folders by those of a backup.

    Raises:
        StartError: the backend runs, has data and ``force`` is not set, or the backup does not fit or is damaged:
            nothing was changed. Or something failed later: then the same restore must be run again.
    """
    with claimed(*place.claims, is_restore=True), reading(file) as reader:
        await _compare(place, reader, force=force)
        reader.verify(advance)
        _check_rows(reader)
        swap = Swap(place, reader)
        vehicles = await _stage(place, swap, advance)
        with marked(place, file):
            if not place.is_sqlite:
                vehicles = await _load(place, reader)
            swap.carry_out()
            if not place.is_sqlite:
                await _unmark(place)
        faults.before("restore: forget")
        swap.forget(swap.aside)
        missing = await missing_objects(place.repository, await package_keys(place))
        return Restored(reader.manifest, vehicles, missing)


async def _stage(place: BackendPlace, swap: Swap, advance: Advance) -> int:
    is_whole = False
    try:
        swap.stage(advance)
        vehicles = await _prepare_files(place, swap) if place.is_sqlite else 0
        swap.sync()
        is_whole = True
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}: nothing was changed", exit_code=1) from None
    finally:
        if not is_whole:
            swap.forget(swap.staged)
    return vehicles


@contextlib.contextmanager
def marked(place: BackendPlace, file: Path) -> Iterator[None]:
    """Keep the programs from starting until the block ends without an error.

    Raises:
        StartError: the block's error, and what to do then.
    """
    marks = sorted({claim.folder / RESTORING for claim in place.claims})
    for mark in marks:
        write_atomic(mark, f"{file}\n".encode())
    try:
        yield
    except (SotaError, OSError, sa.exc.SQLAlchemyError) as error:
        why = error.detail if isinstance(error, SotaError) else str(error)
        raise StartError(f"{why}: the restore is not complete: run the same sota restore again", exit_code=1) from error
    faults.before("restore: end")
    for mark in marks:
        mark.unlink()
        sync_folder(mark.parent)


class Swap:
    """The files of a backup, staged beside what they replace, then moved into place."""

    def __init__(self, place: BackendPlace, reader: Reader) -> None:
        self._reader = reader
        wanted = set(reader.manifest.parts)
        self._parts = [part for part in place.parts if part.name in wanted]
        self._databases = [place.database_part(name) for name in place.databases] if place.is_sqlite else []

    def saved(self, program: str) -> SavedDatabase:
        """Return the backup's manifest of a database."""
        return self._reader.manifest.databases[program]

    @property
    def parts(self) -> list[Part]:
        """All parts, the databases last: they refer to the others."""
        return [*self._parts, *self._databases]

    def staged(self, part: Part) -> Path:
        """Return the folder in which a part is staged."""
        return part.root / f"{STAGED}-{part.name}"

    def aside(self, part: Part) -> Path:
        """Return the folder in which a replaced part is kept until the end."""
        return part.root / f"{ASIDE}-{part.name}"

    def stage(self, advance: Advance) -> None:
        """Write everything beside its place.

        Raises:
            StartError: the disk is full, or the backup names a file that does not belong there.
            OSError: the disk failed.
        """
        roots = {part.name: part for part in self._parts}
        for part in self.parts:
            _make(part.root)
            shutil.rmtree(self.staged(part), ignore_errors=True)
            self.staged(part).mkdir(mode=0o700)
        self._need_room()
        for folder in self._reader.manifest.folders:
            path = self._path(roots, folder.name)
            if path is not None:
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(folder.mode & MODES)
        for file in self._reader.manifest.files:
            target = self._path(roots, file.name)
            if target is not None:
                self._write(file, target, advance)
        for part in self.parts:
            _own(part.root, self.staged(part))

    def sync(self) -> None:
        """Make the staged files durable."""
        for part in self.parts:
            for path in _all(self.staged(part)):
                if path.is_dir():
                    sync_folder(path)
                else:
                    with path.open("rb") as file:
                        sync(file.fileno())
            sync_folder(part.root)

    def carry_out(self) -> None:
        """Move the staged files into place; may be repeated after a kill."""
        for part in self.parts:
            aside = self.aside(part)
            aside.mkdir(mode=0o700, exist_ok=True)
            for entry in part.entries():
                faults.before("restore: entry")
                if (aside / entry.name).exists():  # a killed restore had moved this one into place
                    _remove(entry)
                else:
                    entry.rename(aside / entry.name)
                faults.after("restore: entry")
            for entry in sorted(self.staged(part).iterdir()):
                faults.before("restore: entry")
                entry.rename(part.root / entry.name)
                faults.after("restore: entry")
            sync_folder(part.root)
            self.staged(part).rmdir()

    def forget(self, folder_of: Callable[[Part], Path]) -> None:
        """Remove what was ``staged``, or what was set ``aside``."""
        for part in self.parts:
            shutil.rmtree(folder_of(part), ignore_errors=True)

    def _path(self, roots: dict[str, Part], name: str) -> Path | None:
        components = name.split("/")
        if components[0] == "databases":
            part = next((part for part in self._databases if name == f"databases/{part.name}.db"), None)
            return self.staged(part) / (part.names or ("",))[0] if part is not None else None
        part = roots.get(components[1])
        if part is None:
            return None
        if not part.holds(components[2]):
            raise StartError(f"the backup names a file that does not belong there: {name!r}")
        return self.staged(part).joinpath(*components[2:])

    def _write(self, file: SavedFile, target: Path, advance: Advance) -> None:
        private_folder(target.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(target, flags, 0o600), "wb") as output:
            for piece in self._reader.pieces(file):
                output.write(piece)
                advance(len(piece))
            os.fchmod(output.fileno(), file.mode & MODES)

    def _need_room(self) -> None:
        free = min(shutil.disk_usage(part.root).free for part in self.parts)
        if free < self._reader.manifest.size_bytes:
            raise StartError(
                f"the backup takes {self._reader.manifest.size_bytes} bytes beside what is there, and {free} are free:"
                " nothing was changed",
                exit_code=1,
            )


async def _compare(place: BackendPlace, reader: Reader, *, force: bool) -> None:
    manifest = reader.manifest
    if (manifest.engine == "sqlite") != place.is_sqlite:
        here = "sqlite" if place.is_sqlite else "mariadb"
        raise StartError(f"the backup is of {manifest.engine}, and the databases here are of {here}")
    unknown = sorted(set(manifest.parts) - {part.name for part in place.parts})
    if unknown:
        raise StartError(f"the backup holds {', '.join(unknown)}, for which this backend names no folder")
    used = [str(path) for part in place.parts for path in part.entries()]
    if place.is_sqlite:
        used += [str(path) for program in place.databases for path in place.database_part(program).entries()]
    else:
        used += await _used_schemas(place)
    is_again = any((claim.folder / RESTORING).exists() for claim in place.claims)
    if used and not (force or is_again):
        raise StartError(f"{used[0]} is there already: --force replaces all that is there by the backup")


async def _used_schemas(place: BackendPlace) -> list[str]:
    used = []
    for program, settings in place.databases.items():
        await mariadb.refuse_while_used(program, settings)
    async with place.opened() as databases:
        for database in databases.values():
            await database.check()
            if not await mariadb.is_empty(database):
                used.append(database.shown)
    return used


def _check_rows(reader: Reader) -> None:
    if reader.manifest.engine == "mariadb":
        for program, saved in reader.manifest.databases.items():
            mariadb.check(reader, program, saved)


async def _prepare_files(place: BackendPlace, swap: Swap) -> int:
    """Check the staged databases, upgrade them to the newest revision and renew the vehicles' epochs."""
    databases = {}
    for program in place.databases:
        file = swap.staged(place.database_part(program)) / place.database_file(program).name
        if not file.is_file():
            raise StartError(f"the backup has no {program} database")
        sqlite.check(file, program, swap.saved(program))
        databases[program] = Database(sa.URL.create("sqlite", database=str(file)).render_as_string())
    async with closing(databases):
        return await _renew(databases)


async def _load(place: BackendPlace, reader: Reader) -> int:
    async with place.opened() as databases:
        for database in databases.values():
            await mariadb.mark(database)
        for program, database in databases.items():
            await mariadb.load(database, program, reader.manifest.databases[program], reader)
            faults.before("restore: schema")
        return await _renew(databases)


async def _unmark(place: BackendPlace) -> None:
    async with place.opened() as databases:
        for database in databases.values():
            await mariadb.unmark(database)


async def _renew(databases: Mapping[str, Database]) -> int:
    for program, database in databases.items():
        await upgrade(database, f"sota.{program}.migrations", is_restore=True)
    await databases["web"].transact(lambda tx: tx.execute(SESSION.delete()))
    return await databases["core"].transact(renew_epochs)


def _make(folder: Path) -> None:
    """Create a missing folder, with the owner of its parent."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    private_folder(folder)
    for path in reversed(missing):
        _own(path.parent, path)


def _own(like: Path, path: Path) -> None:
    """Set the owner of files that root unpacked to that of their folder."""
    if os.geteuid() == 0:
        status = like.stat()
        for one in _all(path):
            os.chown(one, status.st_uid, status.st_gid, follow_symlinks=False)


def _all(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
