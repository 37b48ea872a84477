"""Who is asking: what the Web Server's authenticator makes of a request.

Rules kept here:

* a program shows a bearer token; a browser shows the session cookie, and over HTTPS only;
* a request that changes something and comes with a cookie must carry the session's CSRF token too (header
  ``X-CSRF-Token``; the console's own forms carry it in a field, which the form's handler checks);
* pages are let through without a visitor: their handlers send whoever is not signed in to the login page;
* everything else needs a visitor whose role allows the row.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from sota.boundaries.interaction import Program, Role
from sota.kit.clock import Clock
from sota.kit.db import Database
from sota.kit.errors import Forbidden, Unauthenticated
from sota.kit.http_message import Call
from sota.web.accounts.service import accept_token
from sota.web.sessions.model import COOKIE, Session, read_cookie
from sota.web.sessions.service import Sessions

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class Visitor:
    """The caller of a row of B1. ``acting_on`` is what the audit record names, where the handler knows it better."""

    name: str
    role: Role
    session: Session | None = None
    acting_on: str | None = None
    program: Program = Program.WEB_BROWSER


NOBODY = "nobody"


class Visitors:
    """The authenticator of B1."""

    def __init__(self, db: Database, sessions: Sessions, clock: Clock) -> None:
        self._db, self._sessions, self._clock = db, sessions, clock

    async def authenticate(self, call: Call[Any]) -> Visitor:
        """Give the visitor.

        Raises:
            Unauthenticated: neither a valid token nor a valid session.
            Forbidden: the role does not allow the row, or the CSRF token is missing.
        """
        if call.row.way.asset or call.row.role is Role.PUBLIC:
            return Visitor(NOBODY, Role.PUBLIC)
        return await self.admit(call)

    async def admit(self, call: Call[Any]) -> Visitor:
        """Give the visitor of a row that is not public.

        Raises:
            Unauthenticated: neither a valid token nor a valid session.
            Forbidden: the role does not allow the row, or the CSRF token is missing.
        """
        visitor = await self._identify(call)
        call.caller = visitor
        if not visitor.role.allows(call.row.role or Role.ADMIN):
            raise Forbidden(f"This needs the role {call.row.role}; yours is {visitor.role}.")
        return visitor

    async def _identify(self, call: Call[Any]) -> Visitor:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            async with self._db.read() as tx:
                holder = await accept_token(tx, token.strip(), self._clock.now())
            return Visitor(f"token:{holder.name}", holder.role)
        session = await self.session_of(call)
        if session is None:
            error = Unauthenticated("Sign in, or send an API token as 'Authorization: Bearer …'.")
            error.__dict__["headers"] = {"www-authenticate": "Bearer"}
            raise error
        if call.method not in SAFE_METHODS:
            check_csrf(session, call.headers.get("x-csrf-token", ""))
        return Visitor(session.account_name, session.role, session)

    async def session_of(self, call: Call[Any]) -> Session | None:
        """Find the session that the request's cookie names; None without one, and always over plain HTTP."""
        if call.scheme != "https":
            return None
        token = read_cookie(call.headers.get("cookie", ""), COOKIE)
        return await self._sessions.find(token) if token is not None else None


def check_csrf(session: Session, token: str) -> None:
    """Make sure that a request that changes something comes from our own pages.

    Raises:
        Forbidden: the token is missing or that of another session.
    """
    if not hmac.compare_digest(session.csrf_token.encode(), token.encode("utf-8", "surrogateescape")):
        raise Forbidden("The request does not carry this session's CSRF token: load the page again.")
