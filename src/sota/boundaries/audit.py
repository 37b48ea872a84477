"""What the audit trails of the three programs look like on the wire, and how each answers for its own.

Web Server, SOTA Core and External Resolver each keep a chain of their own (:mod:`sota.kit.audit`); B1 shows all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.values import Instant, Message, in_utc
from sota.kit.audit.model import Record, Verdict, Wanted
from sota.kit.errors import Invalid
from sota.kit.http.paging import link_next, read_cursor, read_limit

PAGED = ("limit", "cursor")
QUERY = ("actor", "object", "interaction", "since", "until", *PAGED)
Number = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]


class AuditRecord(Message, frozen=True):
    """Who did what to which object, and how it ended."""

    number: int
    at: Instant
    actor: str
    address: str
    interaction: str
    object: str
    outcome: str
    status: int
    previous_hash: str
    hash: str


class AuditVerdict(Message, frozen=True, omit_defaults=False):
    """Whether the chain of audit records holds; where not, at which record and how."""

    holds: bool
    records: int
    hash: str
    broken_at: int | None = None
    broken: str | None = None


class Trail(Protocol):
    """What of an audit trail is asked here: see :class:`sota.kit.audit.trail.AuditTrail`."""

    async def latest(self, wanted: Wanted, limit: int, before: int | None) -> Sequence[Record]: ...
    async def verify(self) -> Verdict: ...


async def answer_records(trail: Trail, call: Call[Any]) -> Reply:
    """List records, newest first, as the query asks (:data:`QUERY`).

    Raises:
        Invalid: a value of the query is none.
    """
    query = call.query
    limit, before = read_limit(query), read_cursor(call, Number)
    wanted = Wanted(
        actor=query.get("actor"),
        interaction=query.get("interaction"),
        object=query.get("object"),
        since=_moment(query, "since"),
        until=_moment(query, "until"),
    )
    found = await trail.latest(wanted, limit + 1, before)
    records = [as_message(record) for record in found[:limit]]
    headers = link_next(call, records[-1].number) if len(found) > limit else {}
    return Reply("listed" if records else "empty", records, headers=headers)


async def answer_verdict(trail: Trail) -> Reply:
    """Check the whole chain."""
    verdict = await trail.verify()
    broken = verdict.broken
    return Reply(
        "checked",
        AuditVerdict(
            holds=broken is None,
            records=verdict.number,
            hash=verdict.hash,
            broken_at=broken.number if broken is not None else None,
            broken=broken.text if broken is not None else None,
        ),
    )


def as_message(record: Record) -> AuditRecord:
    """Give a record as it goes out."""
    deed = record.deed
    return AuditRecord(
        number=record.number,
        at=deed.at,
        actor=deed.actor,
        address=deed.address,
        interaction=deed.interaction,
        object=deed.object,
        outcome=deed.outcome,
        status=deed.status,
        previous_hash=record.previous_hash,
        hash=record.hash,
    )


def _moment(query: dict[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        moment: datetime = msgspec.convert(query[name], Instant)
        return in_utc(moment)
    except ValueError:  # of which a ValidationError is one
        raise Invalid(f"{name} is a moment with its zone, such as 2030-06-01T08:00:00Z.") from None
