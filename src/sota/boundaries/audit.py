"""What the audit trails of the three programs look like on the wire, and how each answers for its own.

Web Server, SOTA Core and External Resolver each keep a chain of their own (:mod:`sota.kit.audit`); B1 shows all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Protocol

from msgspec import Meta

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import Instant, Message, in_utc
from sota.kit.audit.model import Record, RecordFilter, Verdict
from sota.kit.http.paging import link_next, read_cursor

Number = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]


class AuditQuery(ListQuery, frozen=True):
    """Which audit records to list."""

    actor: Annotated[str, Meta(description="only what this account or token did")] | None = None
    object: Annotated[str, Meta(description="only records whose object has this text in it")] | None = None
    interaction: Annotated[str, Meta(description="only records of this row of the table")] | None = None
    since: Annotated[Instant, Meta(description="only records of this moment or later")] | None = None
    until: Annotated[Instant, Meta(description="only records before this moment")] | None = None

    def __post_init__(self) -> None:
        """Refuse a moment that UTC does not have."""
        for moment in (self.since, self.until):
            if moment is not None:
                in_utc(moment)


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

    async def latest(self, wanted: RecordFilter, limit: int, before: int | None) -> Sequence[Record]: ...
    async def verify(self) -> Verdict: ...


async def answer_records(trail: Trail, call: Call[object, AuditQuery, object]) -> Reply:
    """List records, newest first, as the query asks."""
    query = call.query
    limit, before = query.limit, read_cursor(call, Number)
    wanted = RecordFilter(
        actor=query.actor,
        interaction=query.interaction,
        object=query.object,
        since=in_utc(query.since) if query.since is not None else None,
        until=in_utc(query.until) if query.until is not None else None,
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
    """Return a record as it is sent."""
    return AuditRecord(
        number=record.number, **asdict(record.action), previous_hash=record.previous_hash, hash=record.hash
    )
