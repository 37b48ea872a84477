"""Who is calling: the Web Server's authenticator.

Rules kept here:

* a program shows a bearer token; a browser shows the session cookie, and over HTTPS only;
* a changing request with a cookie must carry the session's CSRF token too (header
  ``X-CSRF-Token``; the console's own forms carry it in a field, which the form's handler checks);
* pages are passed without a visitor: their handlers redirect to the login page;
* everything else needs a visitor whose role allows the row;
* a user with a generated password may change it, or sign out, and nothing else.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sota.boundaries.b1_browser_web import admin_rows
from sota.boundaries.binding.audited_app import SAFE_METHODS
from sota.boundaries.binding.call import AnyCall
from sota.boundaries.interaction import Program, Role
from sota.kit.errors import Forbidden, Unauthenticated
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.web.accounts.model import Token
from sota.web.accounts.service import TokenUses, accept_token
from sota.web.sessions.model import COOKIE, Session, read_cookie
from sota.web.sessions.service import Sessions


@dataclass(slots=True)
class Visitor:
    """The caller of a row of B1: a session's account, or a token.

    ``account`` is the owner, None for a service's token. ``acting_on`` is what the audit record names, if the handler
    knows it better.
    """

    name: str
    role: Role
    session: Session | None = None
    acting_on: str | None = None
    program: Program = Program.WEB_BROWSER
    account: str | None = None
    account_id: UUID | None = None
    expires_at: datetime | None = None
    token_id: UUID | None = None

    @classmethod
    def of_session(cls, session: Session, acting_on: str | None = None) -> Visitor:
        """Return the visitor of a session."""
        return cls(
            session.account_name,
            session.role,
            session,
            acting_on,
            account=session.account_name,
            account_id=session.account_id,
        )

    @classmethod
    def of_token(cls, token: Token) -> Visitor:
        """Return the visitor of a token."""
        return cls(
            token.actor,
            token.role,
            account=token.account,
            account_id=token.account_id,
            expires_at=token.expires_at,
            token_id=token.id,
        )


def visitor_of(call: AnyCall) -> Visitor:
    """Return who makes a call of B1, as the authenticator found."""
    assert isinstance(call.caller, Visitor)  # noqa: S101 - Visitors.authenticate returns nothing else
    return call.caller


ANONYMOUS = "nobody"
MAY_BEFORE_CHANGE = frozenset({admin_rows.CHANGE_PASSWORD.id, admin_rows.END_SESSIONS.id})


class Visitors:
    """The authenticator of B1."""

    def __init__(self, db: Database, sessions: Sessions, uses: TokenUses, clock: Clock) -> None:
        self._db, self._sessions, self._uses, self._clock = db, sessions, uses, clock

    async def authenticate(self, call: AnyCall) -> Visitor:
        """Return the visitor.

        Raises:
            Unauthenticated: neither a valid token nor a valid session.
            Forbidden: the role does not allow the row, the CSRF token is missing, or a password must be changed first.
        """
        if call.row.http.asset or call.row.role is Role.PUBLIC:
            return Visitor(ANONYMOUS, Role.PUBLIC)
        return await self.admit(call)

    async def admit(self, call: AnyCall) -> Visitor:
        """Return the visitor of a row that is not public.

        Raises:
            Unauthenticated: neither a valid token nor a valid session.
            Forbidden: the role does not allow the row, the CSRF token is missing, or a password must be changed first.
        """
        visitor = await self._identify(call)
        call.caller = visitor
        if visitor.session is not None:
            if call.method not in SAFE_METHODS:
                check_csrf(visitor.session, call.headers.get("x-csrf-token", ""))
            if visitor.session.password_change_due and call.row.id not in MAY_BEFORE_CHANGE:
                text = "Your password was generated: change it first, at /password."
                raise Forbidden(text, code="password_change_due")
        if not visitor.role.allows(call.row.role or Role.ADMIN):
            raise Forbidden(f"This needs the role {call.row.role}; yours is {visitor.role}.")
        return visitor

    async def _identify(self, call: AnyCall) -> Visitor:
        scheme, _, shown = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and shown.strip():
            now = self._clock.now()
            async with self._db.read() as tx:
                token = await accept_token(tx, shown.strip(), now)
            self._uses.note(token, now)
            return Visitor.of_token(token)
        session = await self.session_of(call)
        if session is None:
            text = "Sign in, or send an API token as 'Authorization: Bearer …'."
            raise Unauthenticated(text, headers={"www-authenticate": "Bearer"})
        return Visitor.of_session(session)

    async def session_of(self, call: AnyCall) -> Session | None:
        """Find the session that the request's cookie names; None without one, and always over plain HTTP."""
        if call.scheme != "https":
            return None
        token = read_cookie(call.headers.get("cookie", ""), COOKIE)
        return await self._sessions.find(token) if token is not None else None


def check_csrf(session: Session, token: str) -> None:
    """Check that a changing request comes from our own pages.

    Raises:
        Forbidden: the token is missing or that of another session.
    """
    if not hmac.compare_digest(session.csrf_token.encode(), token.encode("utf-8", "surrogateescape")):
        raise Forbidden("The request does not carry this session's CSRF token: load the page again.")
