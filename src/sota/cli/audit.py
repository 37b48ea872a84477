"""``sota audit``: checks the audit trail of the Web Server, Core or the Resolver, and exports it."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cyclopts import App

from sota.cli.databases import HERE, Place, Program, open_database
from sota.kit.audit.model import Record, RecordFilter, Verdict
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import Invalid, StartError

app = App(name="audit", help="Check or export the audit trail of a program.")
ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


@app.command
def verify(*, program: Program = "web", place: Place = HERE, anchor: str | None = None) -> None:
    """Check the chain of all records; exit code 1 if it is broken.

    A record that was changed, removed or moved breaks the chain at its place; the head of the chain shows when the last
    ones are missing. Note the printed line elsewhere, and pass it as --anchor the next time: that also shows when the
    whole chain was rewritten.

    Parameters
    ----------
    program
        Whose audit trail.
    anchor
        A record that was printed earlier, NUMBER:HASH.
    """
    verdict = asyncio.run(_verify(program, place, _read_anchor(anchor)))
    if verdict.broken is not None:
        raise StartError(f"the audit trail is broken: {verdict.broken.text}", exit_code=1)
    print(f"The audit trail holds: {verdict.number} records. Anchor: {verdict.number}:{verdict.hash}")


@app.command
def export(
    *,
    program: Program = "web",
    place: Place = HERE,
    since: datetime | None = None,
    until: datetime | None = None,
    actor: str | None = None,
    file: Path | None = None,
) -> None:
    """Export records as NDJSON, oldest first: one record a line, with its hash and the previous one's.

    Parameters
    ----------
    program
        Whose audit trail.
    since
        Only records from this moment on (UTC, unless another zone is given).
    until
        Only records before this moment.
    actor
        Only actions of this account or token.
    file
        The file to write; the default is standard output.
    """
    wanted = RecordFilter(actor=actor, since=_in_utc(since), until=_in_utc(until))
    asyncio.run(_export(program, place, wanted, file))


async def _verify(program: Program, place: Place, anchor: tuple[int, str] | None) -> Verdict:
    async with open_database(program, place) as database:
        return await AuditTrail(database).verify(anchor=anchor)


async def _export(program: Program, place: Place, wanted: RecordFilter, file: Path | None) -> None:
    output = sys.stdout.buffer if file is None else file.open("wb")
    try:
        async with open_database(program, place) as database:
            async for record in AuditTrail(database).read_all(wanted):
                output.write(msgspec.json.encode(as_line(record)) + b"\n")
        output.flush()
    finally:
        if file is not None:
            output.close()


def as_line(record: Record) -> dict[str, object]:
    """Return a record for the export: with its hash's input, so that others can check the chain, too."""
    return {
        "number": record.number,
        **asdict(record.action),
        "at": record.action.at.isoformat(timespec="microseconds"),
        "previous_hash": record.previous_hash,
        "hash": record.hash,
    }


def _read_anchor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = ANCHOR.fullmatch(text)
    if match is None:
        raise Invalid(f"--anchor is NUMBER:HASH as sota audit verify prints it, not {text[:90]!r}.")
    return int(match[1]), match[2]


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
