"""Accepting an update: what it adds to the journal, what it replaces there, and what starts again.

Rules kept here:

* update, package and SHA-256 identify a download. An index with another identity is another download from then on; the
  old one's whole update is deleted, because it is from an earlier registration of the vehicle;
* a begun or unreported download is never replaced: the new update waits for its end;
* an ended download that is offered again, by a Core that lost its data, starts again: the installer's own database
  shows what is left to do. A failure that is offered again in the same epoch is reported again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sota.boundaries.b7_core_rvi.messages import Download, UpdateAvailable
from sota.kit.errors import Unavailable
from sota.kit.sql.local_file import Connection
from sota.slm.entry import DownloadEntry, State, entry_of, forget_steps, remove, remove_empty_updates


@dataclass(frozen=True, slots=True)
class Accepted:
    """The result of accepting an update."""

    is_new: bool
    """A part of it was unknown."""
    again: Sequence[int]
    """Ended downloads that start again."""
    replaced: Sequence[DownloadEntry]


def accept(tx: Connection, update: UpdateAvailable) -> Accepted:
    """Record an update.

    Raises:
        Unavailable: a download that it replaces must end first.
    """
    exact, displaced = _compare(tx, update)
    busy = next((entry for entry in displaced if entry.state.is_begun or _is_unreported(entry)), None)
    if busy is not None:
        raise Unavailable(f"{busy.package.text} must be installed and reported first.")
    is_other_epoch = _write_update(tx, update)
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
        elif known.state.is_final and known.is_reported and _offer_again(tx, known, is_other_epoch=is_other_epoch):
            again.append(known.download_index)
    remove_empty_updates(tx)
    return Accepted(is_new or bool(again), again, displaced)


def _compare(tx: Connection, update: UpdateAvailable) -> tuple[dict[int, DownloadEntry], list[DownloadEntry]]:
    """Return the entries of exactly these downloads by index, and those that conflict with them."""
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
    """Record the update itself; report whether it was known in another epoch of the vehicle."""
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
    if old is not None and old.start is not None:  # the installer is known, so an installed package is found
        start = msgspec.json.encode(msgspec.structs.replace(old.start, download_index=download.download_index))
    index, package, sha256 = download.download_index, download.package, download.sha256
    tx.execute(
        "INSERT INTO accepted_download(download_index, update_id, position, name, version, sha256, state, start)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (index, update.update_id, position, package.name, package.version, sha256, State.OFFERED, start),
    )


def _offer_again(tx: Connection, known: DownloadEntry, *, is_other_epoch: bool) -> bool:
    """Handle an ended download that is offered again; report whether it starts again."""
    if known.state is not State.INSTALLED and not is_other_epoch:
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
    """The part of a known update that is compared."""

    epoch: str = ""


_EPOCH = msgspec.json.Decoder(_Epoch)
