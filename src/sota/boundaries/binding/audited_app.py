"""An application that writes its audit trail before it answers: one record for each request that changes something.

Refused ones are recorded too (a role that does not allow it, a malformed body), as long as it is known whose they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import AnyCall, Authenticator, Reply, Send
from sota.boundaries.binding.service_credentials import ServiceCaller
from sota.boundaries.interaction import Interaction
from sota.kit.audit.model import AuditedAction
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import SotaError, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
NAMING = ("vin", "part_number", "name", "version", "package", "filter", "role", "disabled", "reset_password")
ASKED_FOR = ("stop", "widen")
MADE = ("install_request_id", "id")
MOST_ENTRIES = 5


class AuditedApp(App):
    """The HTTP side of a program that is called by programs with a credential, and keeps an audit trail."""

    def __init__(
        self,
        program: str,
        rows: Iterable[Interaction],
        authenticate: Authenticator,
        audit: AuditTrail,
        clock: Clock,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(program, rows, authenticate, headers=headers)
        self._audit, self._clock = audit, clock
        self._audit_log = get_logger(program=program, feature="audit")

    def is_deed(self, call: AnyCall, status: int, *, answered: bool) -> bool:
        """Return whether a request leaves a record; ``answered``: its handler returned an outcome."""
        return isinstance(call.caller, ServiceCaller)

    def actor_of(self, call: AnyCall) -> str:
        """Return the name of the caller."""
        return call.caller.program if isinstance(call.caller, ServiceCaller) else ""

    def object_of(self, call: AnyCall) -> str:
        """Return what a request acts on."""
        return describe(call)

    async def _send_reply(self, call: AnyCall, reply: Reply, send: Send) -> int:
        row = reply.row or call.row
        outcome = row.outcome(reply.outcome)
        status = reply.status or (outcome.status if outcome is not None else None) or 0
        if self._leaves_record(call, status, answered=True):
            await self._record(call, row.id, reply.outcome, status, made=made_by(reply))
        return await super()._send_reply(call, reply, send)

    async def _send_problem(self, call: AnyCall | None, error: SotaError, send: Send) -> int:
        if call is not None and self._leaves_record(call, error.status, answered=False):
            outcome = call.row.outcome(error.code)
            status = (outcome.status if outcome is not None else None) or error.status
            try:
                await self._record(call, call.row.id, error.code, status)
            except (SotaError, SQLAlchemyError) as failure:  # the request failed already: the log must do
                self._audit_log.error("audit_record_not_written", interaction=call.row.id, reason=str(failure)[:200])
        return await super()._send_problem(call, error, send)

    def _as_problem(self, error: Exception, call: AnyCall | None) -> SotaError:
        """Turn what the store refuses into the row's 'an error occurs', or 503 where the row has none."""
        problem = super()._as_problem(error, call)
        if isinstance(error, SQLAlchemyError) and (call is None or call.row.outcome(problem.code) is None):
            return Unavailable("The store refuses this for now; why is in the log.")
        return problem

    def deed_of(self, call: AnyCall, interaction: str, outcome: str, status: int, about: str) -> AuditedAction:
        """Build the record's content for a request."""
        return AuditedAction(
            at=self._clock.now(),
            actor=self.actor_of(call),
            address=call.client,
            interaction=interaction,
            object=about,
            outcome=outcome,
            status=status,
        )

    def _leaves_record(self, call: AnyCall, status: int, *, answered: bool) -> bool:
        changes = call.method not in SAFE_METHODS and not call.row.http.read_only
        return changes and not call.recorded and self.is_deed(call, status, answered=answered)

    async def _record(self, call: AnyCall, interaction: str, outcome: str, status: int, *, made: str = "") -> None:
        about = self.object_of(call)
        object_ = about if made.rpartition("=")[2] in about else f"{about} {made}"
        await self._audit.record(self.deed_of(call, interaction, outcome, status, object_), call.opened)
        call.recorded = True


def describe(call: AnyCall) -> str:
    """Return what a request acts on: its path, and the names in its body. Nothing else of the body is recorded.

    >>> # POST /api/v1/vehicles {"vin": "WVW…"}  ->  "vehicles vin=WVW…"
    """
    words = [call.url_path.removeprefix("/api/v1/")]
    words += [f"{name}={call.raw_query[name]}" for name in ASKED_FOR if name in call.raw_query]
    if isinstance(call.body, list):
        words.append(f"{len(call.body)} entries")
        for entry in call.body[:MOST_ENTRIES]:
            words += _names_of(entry)
    else:
        words += _names_of(call.body)
    return " ".join(words)


def made_by(reply: Reply) -> str:
    """Return the id that a request created, so that a record can be found by an install request's id.

    >>> made_by(Reply("queued", {"install_request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))
    'install_request_id=01890a5d-ac96-774b-bcce-b302099a8057'
    """
    body = reply.body
    for name in MADE:
        value = body.get(name) if isinstance(body, dict) else getattr(body, name, None)
        if isinstance(value, str):
            return f"{name}={value}"
    return ""


def _names_of(entry: object) -> list[str]:
    if not isinstance(entry, msgspec.Struct):
        return []
    named = ((name, getattr(entry, name, None)) for name in NAMING)
    return [f"{name}={getattr(value, 'text', value)}" for name, value in named if value is not None]
