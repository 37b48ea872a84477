"""The audit trails, for admins. ``program`` selects one; the default is the Web Server's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sota.boundaries.audit import AuditQuery, AuditRecord, AuditVerdict, Trail, answer_records, answer_verdict
from sota.boundaries.b1_browser_web.queries import ProgramAuditQuery, ProgramQuery, TrailOwner
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.calling import Page
from sota.kit.http.paging import link_to
from sota.web.gateway.answer import answering


class Neighbour(Protocol):
    """A program behind the Web Server, with its own trail."""

    async def audit(self, query: AuditQuery) -> Page[AuditRecord]: ...
    async def verify_audit(self) -> AuditVerdict: ...


class AuditApi:
    """Shows and checks the audit trails. ``neighbours`` are the other programs by name."""

    def __init__(self, trail: Trail, neighbours: Mapping[TrailOwner, Neighbour]) -> None:
        self._trail, self._neighbours = trail, neighbours

    @serves("X-B1-53")
    async def records(self, call: Call[None, ProgramAuditQuery, None]) -> Reply:
        """List records, newest first."""
        asked = call.query
        neighbour = self._neighbours.get(asked.program)
        if neighbour is None:
            return await answer_records(self._trail, call)
        query = AuditQuery(**{name: getattr(asked, name) for name in AuditQuery.__struct_fields__})
        with answering(call.row):
            page = await neighbour.audit(query)
        headers = link_to(call.url_path, {**call.raw_query, "cursor": page.cursor}) if page.cursor is not None else {}
        return Reply("listed" if page.items else "empty", page.items, headers=headers)

    @serves("X-B1-54")
    async def verify(self, call: Call[None, ProgramQuery, None]) -> Reply:
        """Check the whole chain."""
        neighbour = self._neighbours.get(call.query.program)
        if neighbour is None:
            return await answer_verdict(self._trail)
        with answering(call.row):
            return Reply("checked", await neighbour.verify_audit())
