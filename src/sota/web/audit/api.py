"""X-B1-53, X-B1-54: the audit trail, for admins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sota.boundaries.b1_browser_web.admin_messages import AuditRecord, AuditVerdict
from sota.boundaries.interaction import serves
from sota.boundaries.values import Instant
from sota.kit.errors import Invalid
from sota.kit.http_message import Call, Reply
from sota.kit.paging import link_next, read_cursor, read_limit
from sota.web.audit.model import Record, Wanted
from sota.web.audit.service import AuditTrail

Number = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]


class AuditApi:
    """Shows and checks the audit trail."""

    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit

    @serves("X-B1-53")
    async def records(self, call: Call[Any]) -> Reply:
        """List records, newest first."""
        query = call.query
        limit, before = read_limit(query), read_cursor(query, Number)
        wanted = Wanted(
            actor=query.get("actor"),
            interaction=query.get("interaction"),
            object=query.get("object"),
            since=_moment(query, "since"),
            until=_moment(query, "until"),
        )
        found = await self._audit.latest(wanted, limit + 1, before)
        records = [as_message(record) for record in found[:limit]]
        headers = link_next(call.url_path, query, records[-1].number) if len(found) > limit else {}
        return Reply("listed" if records else "empty", records, headers=headers)

    @serves("X-B1-54")
    async def verify(self, call: Call[Any]) -> Reply:
        """Check the whole chain."""
        verdict = await self._audit.verify()
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
        return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):  # the year 1 has moments that UTC has not
        raise Invalid(f"{name} is a moment with its zone, such as 2030-06-01T08:00:00Z.") from None
