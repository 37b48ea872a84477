"""The Web Server's application: an audited one, with the rules of B1 on which requests are recorded.

Every request of a known caller that changes something is recorded with its outcome, including those refused before
their handler (by role, or for a malformed body). Requests of unknown callers are recorded if they are sign-ins, except
those rejected unseen (429): a flood of them would be a flood of records. One request makes one record.

The action of a known caller is noted before its handler runs, since it continues in other programs: if the Web Server
is killed meanwhile, its actor is still known. Without that note nothing is started.
"""

from __future__ import annotations

from datetime import timedelta

from sota.boundaries.binding.app import HANDLER_TIMEOUT_S
from sota.boundaries.binding.audited_app import AuditedApp
from sota.boundaries.binding.call import AnyCall
from sota.boundaries.binding.routing import Route
from sota.boundaries.interaction import Program, Role
from sota.boundaries.table import rows_for
from sota.kit.audit.model import INTERRUPTED
from sota.kit.audit.trail import AuditTrail
from sota.kit.runtime.clock import Clock
from sota.web.visitor import Visitor, Visitors, visitor_of

# By then a request has ended; an upload has no other limit than its own time-out.
ENDED_AFTER, UPLOAD_ENDED_AFTER = timedelta(seconds=HANDLER_TIMEOUT_S + 60), timedelta(days=1)
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class WebApp(AuditedApp):
    """The application of boundary B1."""

    def __init__(self, visitors: Visitors, audit: AuditTrail, clock: Clock) -> None:
        rows = rows_for(Program.WEB_SERVER)
        super().__init__("web", rows, visitors.authenticate, audit, clock, headers=SECURITY_HEADERS)

    def is_deed(self, call: AnyCall, status: int, *, answered: bool) -> bool:
        """Return whether a request is recorded."""
        visitor = call.caller
        if not isinstance(visitor, Visitor) or (status == 429 and call.opened is None):
            return False
        return answered or visitor.role is not Role.PUBLIC or visitor.acting_on is not None

    async def _admit(self, call: AnyCall, route: Route, values: dict[str, str]) -> None:
        await super()._admit(call, route, values)
        if self._leaves_record(call, 0, answered=False):
            now = self._clock.now()
            until = now + (ENDED_AFTER if call.row.http.max_body is not None else UPLOAD_ENDED_AFTER)
            begun = self.deed_of(call, call.row.id, INTERRUPTED, 0, self.object_of(call))
            call.opened = await self._audit.begin(begun, until)

    def actor_of(self, call: AnyCall) -> str:
        """Name who is asking: an account, or a token."""
        return visitor_of(call).name

    def object_of(self, call: AnyCall) -> str:
        """Return what a request acts on."""
        return visitor_of(call).acting_on or super().object_of(call)
