"""The audit trail of the External Resolver, for the Web Server, which shows it to admins."""

from __future__ import annotations

from sota.boundaries.audit import AuditQuery, Trail, answer_records, answer_verdict
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves


class AuditApi:
    """Shows and checks the audit trail."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    @serves("X-B3-30")
    async def records(self, call: Call[None, AuditQuery, None]) -> Reply:
        """List records, newest first."""
        return await answer_records(self._trail, call)

    @serves("X-B3-31")
    async def verify(self, _call: Call[None, None, None]) -> Reply:
        """Check the whole chain."""
        return await answer_verdict(self._trail)
