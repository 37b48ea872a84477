"""B1-9 to B1-11 and B1-14: the login page, signing in, signing out."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sota.boundaries.b1_browser_web import page_rows
from sota.boundaries.b1_browser_web.messages import Credentials
from sota.boundaries.b1_browser_web.queries import IndexQuery
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.interaction import Role
from sota.kit.errors import Invalid, Refused, TooMany
from sota.kit.runtime.clock import Clock
from sota.web.console.page import Pages
from sota.web.sessions.form import JSON, kind_of, read_fields, refuse_foreign
from sota.web.sessions.model import (
    COOKIE,
    KNOWN_COOKIE,
    RETURN_COOKIE,
    Attempt,
    Session,
    clear_cookie,
    read_cookie,
    read_known_mark,
    read_return_path,
    set_cookie,
    set_known_cookie,
)
from sota.web.sessions.service import Sessions
from sota.web.visitor import ANONYMOUS, Visitor, Visitors, check_csrf, visitor_of

HTML = "text/html; charset=utf-8"


class SessionsApi:
    """Signs users in and out. ``key`` signs the page to return to, and the cookie of a known browser."""

    def __init__(self, sessions: Sessions, visitors: Visitors, pages: Pages, clock: Clock, key: bytes) -> None:
        self._sessions, self._visitors, self._pages = sessions, visitors, pages
        self._clock, self._key = clock, key

    @serves("WL-B1-9")
    async def login_page(self, call: Call[None, None, None]) -> Reply:
        """Show the login page."""
        page = self._pages.login()
        return Reply("served", raw=page, content_type=HTML, row=page_rows.LOGIN_PAGE)

    @serves("WL-B1-10", "WL-B1-11", "WL-B1-14")
    async def sign_in(self, call: Call[None, None, None]) -> Reply:
        """Check the credentials; then back to the page that was asked for, or to the console."""
        refuse_foreign(call)
        fields = await read_fields(call)
        credentials = _credentials(fields)
        as_json = kind_of(call) == JSON
        name, old = credentials.username, read_cookie(call.headers.get("cookie", ""), COOKIE)
        try:
            session = await self._sessions.sign_in(self._attempt(call, name), credentials.password, replaces=old)
        except TooMany as error:
            if as_json:
                raise
            return self._denied(error.detail, status=429, headers=error.headers)
        if session is None:
            # An unknown name may be a password in the wrong field: it is stored nowhere.
            known = await self._sessions.known_name(name)
            visitor_of(call).acting_on = f"sign-in {known}" if known is not None else "sign-in"
            if as_json:
                raise Refused("denied", "The user name or the password is wrong.")
            return self._denied("The user name or the password is wrong.")
        call.caller = Visitor.of_session(session, acting_on="sign-in")
        return_to = read_cookie(call.headers.get("cookie", ""), RETURN_COOKIE)
        return await self._signed_in(session, return_to or "", as_json=as_json)

    @serves("X-B1-7")
    async def sign_out(self, call: Call[None, None, None]) -> Reply:
        """End the session."""
        refuse_foreign(call)
        session = await self._visitors.session_of(call)
        if session is not None:
            token = call.headers.get("x-csrf-token") or (await read_fields(call)).get("csrf_token", "")
            call.caller = Visitor.of_session(session, acting_on="sign-out")
            check_csrf(session, str(token))
            await self._sessions.end(session.token)
        else:
            call.caller = Visitor(ANONYMOUS, Role.PUBLIC, acting_on="sign-out")
        headers = {"location": "/login", "clear-site-data": '"cache", "storage"'}
        return Reply("signed_out", raw=b"", headers=headers, cookies=[clear_cookie()])

    def _attempt(self, call: AnyCall, name: str) -> Attempt:
        shown = read_cookie(call.headers.get("cookie", ""), KNOWN_COOKIE) or ""
        return Attempt(name, call.client, read_known_mark(shown, name, self._clock.now(), self._key))

    async def _signed_in(self, session: Session, return_to: str, *, as_json: bool) -> Reply:
        known = set_known_cookie(session.account_name, session.created_at, self._key)
        cookies = [set_cookie(session.token), known]
        if return_to:
            cookies.append(clear_cookie(RETURN_COOKIE))
        if as_json:
            body: dict[str, object] = {
                "username": session.account_name,
                "role": session.role.value,
                "csrf_token": session.csrf_token,
                **({"password_change_due": True} if session.password_change_due else {}),
            }
            return Reply("signed_in", body, cookies=cookies, row=page_rows.LOGIN)
        path = read_return_path(return_to, self._key)
        if path is not None:
            headers = {"location": path, "content-type": HTML}
            return Reply("returned", raw=b"", headers=headers, cookies=cookies, row=page_rows.REDIRECT_BACK)
        page = await self._pages.index(session, IndexQuery())
        return Reply("signed_in", raw=page, content_type=HTML, cookies=cookies, row=page_rows.LOGIN)

    def _denied(self, why: str, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        page = self._pages.login(why=why)
        return Reply("denied", raw=page, content_type=HTML, status=status, headers=headers or {}, row=page_rows.LOGIN)


def _credentials(fields: dict[str, object]) -> Credentials:
    try:
        # A form of ours may carry a CSRF token; before sign-in there is none to check.
        return msgspec.convert({name: value for name, value in fields.items() if name != "csrf_token"}, Credentials)
    except msgspec.ValidationError as error:
        raise Invalid(f"{error}.") from None
