"""One's own password, by the console's page or as JSON, and one's own sessions."""

from __future__ import annotations

from uuid import UUID

from sota.boundaries.b1_browser_web import admin_rows
from sota.boundaries.b1_browser_web.admin_messages import PasswordChange
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.kit.errors import Invalid, Refused, TooMany
from sota.web.console.api import HTML, to_login
from sota.web.console.page import Pages
from sota.web.sessions.form import read_form, refuse_foreign
from sota.web.sessions.model import Session, clear_cookie, set_cookie
from sota.web.sessions.service import Sessions
from sota.web.visitor import Visitor, Visitors, check_csrf, visitor_of


class OwnAccountApi:
    """Lets users change their password and end their sessions. ``key`` signs the page to return to."""

    def __init__(self, sessions: Sessions, visitors: Visitors, pages: Pages, key: bytes) -> None:
        self._sessions, self._visitors, self._pages, self._key = sessions, visitors, pages, key

    @serves("X-B1-40")
    async def page(self, call: Call[None, None, None]) -> Reply:
        """Show the form."""
        session = await self._visitors.session_of(call)
        if session is None:
            return to_login(call, self._key)
        return Reply("served", raw=self._pages.password(session), content_type=HTML)

    @serves("X-B1-41")
    async def change_by_form(self, call: Call[None, None, None]) -> Reply:
        """Change the password, begin a new session, redirect to the console."""
        refuse_foreign(call)
        session = await self._visitors.session_of(call)
        if session is None:
            return to_login(call, self._key)
        call.caller = Visitor.of_session(session, acting_on="own password")
        fields = await read_form(call)
        check_csrf(session, fields.get("csrf_token", ""))
        try:
            if fields.get("new_password") != fields.get("new_password_again"):
                raise Invalid("The new password was not entered alike twice.")
            fresh = await self._change(call, session, fields.get("old_password", ""), fields.get("new_password", ""))
        except (Invalid, Refused, TooMany) as error:
            return self._again(session, error)
        headers = {"location": "/"}
        return Reply("changed", raw=b"", headers=headers, cookies=[set_cookie(fresh.token)])

    @serves("X-B1-42")
    async def change(self, call: Call[None, None, PasswordChange]) -> Reply:
        """Change the password."""
        visitor = visitor_of(call)
        visitor.acting_on = "own password"
        name, _ = _account_of(visitor)
        old, new = call.body.old_password, call.body.new_password
        if visitor.session is None:
            await self._change_password(call, name, old, new)
            return Reply("changed")
        fresh = await self._change(call, visitor.session, old, new)
        return Reply("changed", {"csrf_token": fresh.csrf_token}, cookies=[set_cookie(fresh.token)])

    @serves("X-B1-43")
    async def sessions(self, call: Call[None, None, None]) -> Reply:
        """List the sessions of the caller's account."""
        visitor = visitor_of(call)
        _, account_id = _account_of(visitor)
        token = visitor.session.token if visitor.session is not None else None
        found = await self._sessions.of_account(account_id, token)
        return Reply("listed" if found else "empty", found)

    @serves("X-B1-44")
    async def sign_out_everywhere(self, call: Call[None, None, None]) -> Reply:
        """End all sessions of the caller's account."""
        visitor = visitor_of(call)
        visitor.acting_on = "own sessions"
        _, account_id = _account_of(visitor)
        await self._sessions.end_all(account_id)
        return Reply("signed_out", cookies=[clear_cookie()] if visitor.session is not None else [])

    async def _change_password(self, call: AnyCall, name: str, old: str, new: str) -> None:
        if not await self._sessions.change_password(name, old, new, call.client):
            raise Refused("wrong_password", "The old password is wrong.")

    async def _change(self, call: AnyCall, session: Session, old: str, new: str) -> Session:
        """Change the password and begin a new session in place of all."""
        await self._change_password(call, session.account_name, old, new)
        return await self._sessions.begin_for(session.account_id, session.account_name, session.role, call.client)

    def _again(self, session: Session, error: Invalid | Refused | TooMany) -> Reply:
        row = admin_rows.CHANGE_PASSWORD_FORM
        denied = row.outcome("denied")
        why = f"{denied.message}. {error.detail}" if denied is not None else error.detail
        page = self._pages.password(session, why=why)
        status = 429 if isinstance(error, TooMany) else None
        return Reply("denied", raw=page, content_type=HTML, status=status, headers=error.headers, row=row)


def _account_of(visitor: Visitor) -> tuple[str, UUID]:
    if visitor.account is None or visitor.account_id is None:
        raise Refused("no_account", "This token is a service's: it has no password and no sessions.")
    return visitor.account, visitor.account_id
