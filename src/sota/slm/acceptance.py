"""Accepting an update: what it adds to the journal, what it replaces there, and what begins again.

Rules kept here:

* a download is its update, package and SHA-256; an index that comes with another identity stands for another download
  from then on. The old one's whole update goes, for the rest of it is of another life of the vehicle;
* what an installer has begun, and what is not reported yet, is never replaced: the new update waits for its end;
* what has ended and is offered again, by a Core that lost its memory, begins again: whether there is anything left to
  do is seen in the installer's own database. A failure that is offered again in the same life is reported again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sota.boundaries.b10_client_slm.messages import Download, UpdateAvailable
from sota.kit.sql.local_file import Connection
from sota.slm.entry import DownloadEntry, State, entry_of, forget_steps, remove, remove_empty_updates


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of accepting an update."""

    is_new: bool = False
    """Something of it was not known."""
    busy: DownloadEntry | None = None
    """A download that must end first: nothing was accepted."""
    again: Sequence[int] = ()
    """Downloads that had ended and begin again."""
    replaced: Sequence[DownloadEntry] = ()


def accept(tx: Connection, update: UpdateAvailable) -> Accepted:
    """Write an update down."""
    exact, displaced = _compare(tx, update)
    busy = next((entry for entry in displaced if entry.state.is_begun or _is_unreported(entry)), None)
    if busy is not None:
        return Accepted(busy=busy)
    is_other_life = _write_update(tx, update)
    remove(tx, [entry.download_index for entry in displaced])
    moved = {entry.identity: entry for entry in displaced}
    again: list[int] = []
    is_new = False
    for position, download in enumerate(update.downloads):
        known = exact.get(download.download_index)
        old = moved.get(update.identity_of(download))
        if known is None:
            _insert(tx, update, position, download, old)
            is_new = True
            again += [download.download_index] if old is not None and old.state.is_final else []
        elif known.state.is_final and known.is_reported and _meet_again(tx, known, is_other_life=is_other_life):
            again.append(known.download_index)
    remove_empty_updates(tx)
    return Accepted(is_new or bool(again), None, again, displaced)


def _compare(tx: Connection, update: UpdateAvailable) -> tuple[dict[int, DownloadEntry], list[DownloadEntry]]:
    """Return the entries of exactly these downloads by index, and those that stand in their way."""
    named = {download.download_index: update.identity_of(download) for download in update.downloads}
    exact: dict[int, DownloadEntry] = {}
    displaced: dict[int, DownloadEntry] = {}
    for download in update.downloads:
        identity = update.identity_of(download)
        query = "SELECT * FROM accepted_download WHERE download_index = ? OR (update_id = ? AND sha256 = ?)"
        rows = tx.execute(query, (download.download_index, update.update_id, download.sha256)).fetchall()
        for entry in map(entry_of, rows):
            if named.get(entry.download_index) == entry.identity:
                exact[entry.download_index] = entry
            elif entry.download_index == download.download_index or entry.identity == identity:
                displaced[entry.download_index] = entry
    for other in {entry.update_id for entry in displaced.values()} - {update.update_id}:
        rows = tx.execute("SELECT * FROM accepted_download WHERE update_id = ?", (other,)).fetchall()
        displaced |= {entry.download_index: entry for entry in map(entry_of, rows)}
    return exact, list(displaced.values())


def _is_unreported(entry: DownloadEntry) -> bool:
    return entry.state.is_final and not entry.is_reported


def _write_update(tx: Connection, update: UpdateAvailable) -> bool:
    """Write the update itself; says whether it was known in another life of the vehicle."""
    row = tx.execute("SELECT body FROM accepted_update WHERE update_id = ?", (update.update_id,)).fetchone()
    tx.execute(
        "INSERT INTO accepted_update(update_id, body) VALUES (?, ?)"
        " ON CONFLICT(update_id) DO UPDATE SET body = excluded.body",
        (update.update_id, msgspec.json.encode(update)),
    )
    return row is not None and _EPOCH.decode(row["body"]).epoch != update.epoch


def _insert(
    tx: Connection, update: UpdateAvailable, position: int, download: Download, old: DownloadEntry | None
) -> None:
    start = None
    if old is not None and old.start is not None:  # what it was is known: perhaps it is installed already
        start = msgspec.json.encode(msgspec.structs.replace(old.start, download_index=download.download_index))
    tx.execute(
        "INSERT INTO accepted_download(download_index, update_id, position, name, version, sha256, state, start)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            download.download_index,
            update.update_id,
            position,
            download.package.name,
            download.package.version,
            download.sha256,
            State.OFFERED,
            start,
        ),
    )


def _meet_again(tx: Connection, known: DownloadEntry, *, is_other_life: bool) -> bool:
    """Take a download that has ended and is offered again; says whether it begins again."""
    if known.state is not State.INSTALLED and not is_other_life:
        tx.execute("UPDATE accepted_download SET reported = 0 WHERE download_index = ?", (known.download_index,))
        return False
    forget_steps(tx, known.download_index)
    tx.execute(
        "UPDATE accepted_download SET state = ?, reason = NULL, previous_version = NULL, report = NULL, reported = 0"
        " WHERE download_index = ?",
        (State.OFFERED, known.download_index),
    )
    return True


class _Epoch(msgspec.Struct):
    """What is looked at of an update that is known."""

    epoch: str = ""


_EPOCH = msgspec.json.Decoder(_Epoch)
