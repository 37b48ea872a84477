"""Writes down how a vehicle's packages stand before an update, with what must be there to bring them back."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec

from sota.kit.files.durable import sync_file, sync_folder
from sota.slm.installers.deb_copy import Installed, conffiles_of
from sota.slm.installers.deb_survey import Companion, KeptConffile, Record, list_digest


def keep_conffiles(installed: Installed, folder: Path, first: int, *, only_changed: bool) -> list[KeptConffile]:
    """Copy a package's configuration files into ``folder``, numbered from ``first``.

    Raises:
        OSError: one cannot be read or copied.
    """
    kept: list[KeptConffile] = []
    for conffile in conffiles_of(installed.stanza):
        place = installed.place(conffile.path, follow=True)
        if place.is_file() and (not only_changed or installed.is_changed(conffile)):
            copy, known = f"conffile-{first + len(kept)}", place.stat()
            (folder / copy).write_bytes(place.read_bytes())
            path = installed.diversions.get(conffile.path, conffile.path)
            kept.append(KeptConffile(path, copy, stat.S_IMODE(known.st_mode), known.st_uid, known.st_gid))
    return kept


def companion(installed: Installed, file: str) -> Companion:
    """Describe a package whose package file in the record's folder is ``file``."""
    conffiles = tuple(conffile.path for conffile in conffiles_of(installed.stanza))
    return Companion(file, list_digest(installed.database, installed.name, conffiles), conffiles)


def write_record(folder: Path, record: Record) -> None:
    """Complete the record in ``folder``; everything in it is on the disk when this returns.

    Raises:
        OSError: the disk is full or fails.
    """
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    for file in folder.iterdir():
        sync_file(file)
    sync_folder(folder)
