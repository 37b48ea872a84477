"""``sota audit``: checks the audit trail of the Web Server, of Core or of the Resolver, and writes it out."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cyclopts import App

from sota.cli.databases import HERE, Place, Program, open_database
from sota.kit.audit.model import Record, Verdict, Wanted
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import Invalid, StartError

app = App(name="audit", help="Check the audit trail of a program, or write it out.")
ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


@app.command
def verify(*, program: Program = "web", place: Place = HERE, anchor: str | None = None) -> None:
    """Follow the chain of all records and say whether it holds; exit code 1 where it does not.

    A record that was changed, removed or moved breaks the chain at its place; the head of the chain tells when the last
    ones are gone. Note the line that is printed in another place, and give it back as --anchor the next time: that
    also tells when somebody wrote the whole chain anew.

    Parameters
    ----------
    program
        Whose trail.
    anchor
        A record as it was printed earlier, NUMBER:HASH.
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
    """Write records as NDJSON, oldest first: a record a line, with its hash and that of the one before.

    Parameters
    ----------
    program
        Whose trail.
    since
        Only records of this moment or later (in UTC, unless it names another zone).
    until
        Only records before this moment.
    actor
        Only what this account or token did.
    file
        Where to write; on standard output without it.
    """
    wanted = Wanted(actor=actor, since=_in_utc(since), until=_in_utc(until))
    asyncio.run(_export(program, place, wanted, file))


async def _verify(program: Program, place: Place, anchor: tuple[int, str] | None) -> Verdict:
    async with open_database(program, place) as database:
        return await AuditTrail(database).verify(anchor=anchor)


async def _export(program: Program, place: Place, wanted: Wanted, file: Path | None) -> None:
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
    """Give a record as it is exported: with its hash's input, so that others can check the chain too."""
    deed = record.deed
    return {
        "number": record.number,
        "at": deed.at.isoformat(timespec="microseconds"),
        "actor": deed.actor,
        "address": deed.address,
        "interaction": deed.interaction,
        "object": deed.object,
        "outcome": deed.outcome,
        "status": deed.status,
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
