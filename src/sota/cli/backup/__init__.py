"""``sota backup`` and ``sota restore``: everything that a backend stores, in one file, while the backend is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sota.kit.errors import StartError

if TYPE_CHECKING:
    from sota.cli.backup.place import BackendPlace

Flag = Annotated[bool, Parameter(negative=())]
Server = Annotated[str | None, Parameter(env_var="SOTA_UP_DATABASE")]
DATA = Path("var")


def backup(
    file: Path,
    *,
    data: Path | None = None,
    config: Path | None = None,
    database: Server = None,
    password_file: Path | None = None,
    etc: Path | None = None,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Write a backup of a stopped backend to one file: databases, package files, keys and secrets.

    Stop the backend first; a running one is refused. Only the file's owner can read it, and it contains all secrets
    of this backend: keep it where no other user can read or write it.

        sota backup /srv/backups/monday.zip --data /var/lib/sota

    With separate programs, name their settings, a user that may read the three schemas, and the folder of secrets:

        sota backup monday.zip --config /etc/sota/sota.toml --etc /etc/sota \\
          --database mysql://sota_backup@127.0.0.1 --password-file /etc/sota/secrets/backup-database.password

    It contains the three databases, the package repository if that is a folder, the authority, the node's identity,
    secrets and certificates. It does not contain packages in an object store (it only checks that they exist; let the
    store keep versions), the Resolver's index, which is rebuilt, and messages on the way to vehicles, which Core sends
    again.

    Parameters
    ----------
    file
        The file to write. It appears when it is complete; an error leaves no file.
    data
        The folder of sota up (the default is var, unless --config is given).
    config
        The TOML file of separate programs.
    database
        The MariaDB server, mysql://user@host:3306, as for sota up; with --config, instead of the programs' own users.
        A name at its end is the prefix of the schemas' names (sota).
    password_file
        File with that user's password.
    etc
        With --config: a folder of settings and secrets to include.
    force
        Replace an existing file.
    json
        Print the content of the backup as JSON.
    """
    from sota.cli.backup.saving import as_document, save, size_of
    from sota.cli.ctl.output import print_json

    place = _place(data, config, database, password_file, etc)
    if file.exists() and not force:
        raise StartError(f"{file} exists: --force replaces it")
    with _bar("Backup", lambda: size_of(place)) as advance:
        saved = asyncio.run(save(place, file, advance))
    if json:
        print_json(as_document(saved, file))
    else:
        rows = sum(table.rows for database in saved.manifest.databases.values() for table in database.tables)
        print(f"{file}: {rows} rows, {len(saved.manifest.files)} files, {file.stat().st_size} bytes")
        if saved.manifest.repository:
            print(f"Not in it: {saved.manifest.package_files} package files in {saved.manifest.repository}")
    _tell_missing(saved.missing)


def restore(
    file: Path,
    *,
    data: Path | None = None,
    config: Path | None = None,
    database: Server = None,
    password_file: Path | None = None,
    etc: Path | None = None,
    check: Flag = False,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Restore a stopped backend from a backup, or only check the backup.

    The whole backup is read and compared with its manifest before anything is changed. Then it replaces the existing
    data. An interrupted restore leaves a mark, and no program starts until the same restore was run again. The replaced
    data is deleted at the end: make a backup of it first if you may need it.

        sota restore /srv/backups/monday.zip --check
        sota restore /srv/backups/monday.zip --data /var/lib/sota --force

    Afterwards, everything since the backup is unknown. Tokens, passwords and identities that were revoked since are
    valid again: revoke them again. All users have to sign in again. Vehicles keep what they installed and report it
    when they connect; a running update is started again.

    Parameters
    ----------
    file
        The backup.
    data
        The folder of sota up (the default is var, unless --config is given); created if it is missing.
    config
        The TOML file of separate programs.
    database
        The MariaDB server, as for sota backup; its user must be able to create and change tables.
    password_file
        File with that user's password.
    etc
        With --config: the folder of settings and secrets that the backup contains.
    check
        Read and compare the whole backup, and change nothing.
    force
        Replace existing data. Without it only an empty place is filled.
    json
        Print what was restored as JSON.
    """
    from sota.cli.backup import restoring
    from sota.cli.ctl.output import print_json

    size = file.stat().st_size if file.exists() else 0
    if check:
        with _bar("Check", lambda: size) as advance:
            manifest = restoring.check(file, advance)
        told: dict[str, object] = {"file": str(file), "created_at": manifest.created_at.isoformat(), "whole": True}
        print_json(told) if json else print(f"{file}: whole, made {manifest.created_at:%Y-%m-%d %H:%M} UTC")
        return
    place = _place(data, config, database, password_file, etc)
    if database is not None and config is None:
        from sota.cli.schemas import create_schemas, with_password

        asyncio.run(create_schemas(with_password(database, password_file)))
    with _bar("Restore", lambda: 2 * size) as advance:
        restored = asyncio.run(restoring.restore(place, file, advance, force=force))
    created = restored.manifest.created_at
    if json:
        print_json(
            {
                "file": str(file),
                "created_at": created.isoformat(),
                "vehicles": restored.vehicles,
                "missing_package_files": restored.missing,
            }
        )
    else:
        print(f"Restored as of {created:%Y-%m-%d %H:%M} UTC; {restored.vehicles} vehicles have another epoch.")
    _tell_missing(restored.missing)


@contextmanager
def _bar(what: str, size: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    from sota.cli.ctl.output import progress

    with progress() as bars:
        task = bars.add_task(what, total=size())
        yield lambda done: bars.advance(task, done)


def _place(
    data: Path | None, config: Path | None, server: str | None, password: Path | None, etc: Path | None
) -> BackendPlace:
    from sota.cli.backup.place import place_of_settings, place_of_up

    if config is None:
        if etc is not None:
            raise StartError("--etc goes with --config: sota up keeps everything in its data folder")
        return place_of_up(data or DATA, server, password)
    if data is not None:
        raise StartError("--data and --config name two places: give one of them")
    return place_of_settings(config, server, password, etc)


def _tell_missing(missing: list[str]) -> None:
    if missing:
        shown = ", ".join(missing[:3])
        raise StartError(
            f"done, but {len(missing)} package files that Core names are not in the repository: {shown}", exit_code=1
        )
