"""The Web Server's application: the binder of ``kit``, which also writes the audit trail before it answers.

Every state-changing request of somebody known is recorded with its outcome, those included that were refused before
their handler (a role that does not allow it, a malformed body). Requests of nobody are recorded where they are
sign-ins; those that were not even tried (429) are not, or a flood of them would be one of records. One request leaves
one record.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.interaction import Program, Role
from sota.boundaries.table import rows_for
from sota.kit.clock import Clock
from sota.kit.errors import SotaError
from sota.kit.http_message import Call, Reply, Send
from sota.kit.http_server import App
from sota.kit.logging import get_logger
from sota.web.audit.model import Deed
from sota.web.audit.service import AuditTrail
from sota.web.visitor import SAFE_METHODS, Visitor, Visitors

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
NAMING = ("vin", "part_number", "name", "version", "package", "filter", "role", "disabled", "reset_password")


class WebApp(App):
    """The application of boundary B1."""

    def __init__(self, visitors: Visitors, audit: AuditTrail, clock: Clock) -> None:
        super().__init__("web", rows_for(Program.WEB_SERVER), visitors.authenticate, headers=SECURITY_HEADERS)
        self._audit, self._clock = audit, clock
        self._audit_log = get_logger(feature="audit")

    async def _send_reply(self, call: Call[Any], reply: Reply, send: Send) -> int:
        row = reply.row or call.row
        outcome = row.outcome(reply.outcome)
        status = reply.status or (outcome.status if outcome is not None else None) or 0
        if _is_deed(call, status, answered=True):
            await self._record(call, row.id, reply.outcome, status)
        return await super()._send_reply(call, reply, send)

    async def _send_problem(self, call: Call[Any] | None, error: SotaError, send: Send) -> int:
        if call is not None and _is_deed(call, error.status, answered=False):
            outcome = call.row.outcome(error.code)
            status = (outcome.status if outcome is not None else None) or error.status
            try:
                await self._record(call, call.row.id, error.code, status)
            except (SotaError, SQLAlchemyError) as failure:  # the request failed already: the log must do
                self._audit_log.error("audit_record_not_written", interaction=call.row.id, reason=str(failure)[:200])
        return await super()._send_problem(call, error, send)

    async def _record(self, call: Call[Any], interaction: str, outcome: str, status: int) -> None:
        visitor: Visitor = call.caller
        await self._audit.record(
            Deed(
                at=self._clock.now(),
                actor=visitor.name,
                address=call.client,
                interaction=interaction,
                object=visitor.acting_on or describe(call),
                outcome=outcome,
                status=status,
            )
        )
        visitor.recorded = True


def describe(call: Call[Any]) -> str:
    """Name what a request acts on: its path, and what its body calls itself. Never more of the body than that.

    >>> # POST /api/v1/vehicles {"vin": "WVW…"}  ->  "vehicles vin=WVW…"
    """
    words = [call.url_path.removeprefix("/api/v1/")]
    if isinstance(call.body, list):
        words.append(f"{len(call.body)} entries")
    elif isinstance(call.body, msgspec.Struct):
        for name in NAMING:
            value = getattr(call.body, name, None)
            if value is not None:
                words.append(f"{name}={getattr(value, 'text', value)}")
    return " ".join(words)


def _is_deed(call: Call[Any], status: int, *, answered: bool) -> bool:
    visitor = call.caller
    if call.method in SAFE_METHODS or not isinstance(visitor, Visitor) or status == 429 or visitor.recorded:
        return False
    return answered or visitor.role is not Role.PUBLIC or visitor.acting_on is not None
