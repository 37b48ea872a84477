"""X-B1-53, X-B1-54: the audit trails, for admins. ``program`` says whose: the Web Server's own without it."""

from __future__ import annotations

from typing import Any, Protocol

from sota.boundaries.audit import QUERY, AuditRecord, AuditVerdict, Trail, answer_records, answer_verdict
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.calling import Page
from sota.kit.errors import Invalid
from sota.web.gateway.answer import answering, listed, paging


class Neighbour(Protocol):
    """A program behind the Web Server, which answers for a trail of its own."""

    async def audit(self, query: dict[str, Any]) -> Page[AuditRecord]: ...
    async def verify_audit(self) -> AuditVerdict: ...


class AuditApi:
    """Shows and checks the audit trails. ``neighbours`` are by the name that ``program`` gives."""

    def __init__(self, trail: Trail, neighbours: dict[str, Neighbour]) -> None:
        self._trail, self._neighbours = trail, neighbours

    @serves("X-B1-53")
    async def records(self, call: Call[Any]) -> Reply:
        """List records, newest first."""
        neighbour = self._asked(call)
        if neighbour is None:
            return await answer_records(self._trail, call)
        wanted = {name: call.query[name] for name in QUERY if name in call.query}
        with answering(call.row):
            return listed(call, await neighbour.audit({**wanted, **paging(call.query)}))

    @serves("X-B1-54")
    async def verify(self, call: Call[Any]) -> Reply:
        """Check the whole chain."""
        neighbour = self._asked(call)
        if neighbour is None:
            return await answer_verdict(self._trail)
        with answering(call.row):
            return Reply("checked", await neighbour.verify_audit())

    def _asked(self, call: Call[Any]) -> Neighbour | None:
        program = call.query.get("program", "web")
        if program == "web":
            return None
        if program not in self._neighbours:
            raise Invalid(f"program is one of web, {', '.join(self._neighbours)}, not {program[:40]!r}.")
        return self._neighbours[program]
