"""What programs and tests use to administer a Web Server, with a token: accounts, tokens, the audit trail."""

from __future__ import annotations

from sota.boundaries.audit import AuditRecord, AuditVerdict
from sota.boundaries.b1_browser_web import admin_messages as messages
from sota.boundaries.b1_browser_web import admin_rows as rows
from sota.boundaries.b1_browser_web.queries import ProgramAuditQuery, ProgramQuery, TrailOwner
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import MessageOnly


class AdminClient(BoundaryClient):
    """The administration of a Web Server. Lists come as pages: ``cursor`` asks for the next one."""

    @calls("X-B1-42")
    async def change_password(self, old_password: str, new_password: str) -> messages.PasswordChanged:
        """Change one's own password."""
        change = messages.PasswordChange(old_password=old_password, new_password=new_password)
        return await self.caller.call(rows.CHANGE_PASSWORD, body=change)

    @calls("X-B1-43")
    async def sessions(self) -> list[messages.SessionEntry]:
        """List one's own sessions."""
        return await self.caller.call(rows.OWN_SESSIONS)

    @calls("X-B1-44")
    async def sign_out_everywhere(self) -> MessageOnly:
        """End all one's own sessions."""
        return await self.caller.call(rows.END_SESSIONS)

    @calls("X-B1-45")
    async def users(self, query: ListQuery | None = None) -> Page[messages.User]:
        """List the accounts."""
        return await self.caller.page(rows.USERS, query=query)

    @calls("X-B1-46")
    async def new_user(self, user: messages.NewUser) -> messages.UserCreated:
        """Create an account."""
        return await self.caller.call(rows.NEW_USER, body=user)

    @calls("X-B1-47")
    async def user(self, name: str) -> messages.User:
        """Return one account."""
        return await self.caller.call(rows.USER, {"user": name})

    @calls("X-B1-48")
    async def change_user(self, name: str, change: messages.UserChange) -> messages.UserCreated:
        """Change an account's role, disable it, or give it another password."""
        return await self.caller.call(rows.CHANGE_USER, {"user": name}, body=change)

    @calls("X-B1-49")
    async def delete_user(self, name: str) -> MessageOnly:
        """Delete an account."""
        return await self.caller.call(rows.DELETE_USER, {"user": name})

    @calls("X-B1-50")
    async def tokens(self, query: ListQuery | None = None) -> Page[messages.Token]:
        """List the caller's tokens, for an admin all tokens."""
        return await self.caller.page(rows.TOKENS, query=query)

    @calls("X-B1-51")
    async def new_token(self, token: messages.NewToken) -> messages.TokenCreated:
        """Create a token."""
        return await self.caller.call(rows.NEW_TOKEN, body=token)

    @calls("X-B1-52")
    async def revoke_token(self, token_id: str) -> MessageOnly:
        """Revoke a token."""
        return await self.caller.call(rows.REVOKE_TOKEN, {"id": token_id})

    @calls("X-B1-53")
    async def audit(self, query: ProgramAuditQuery | None = None) -> Page[AuditRecord]:
        """List audit records of a program, newest first."""
        return await self.caller.page(rows.AUDIT, query=query)

    @calls("X-B1-54")
    async def verify_audit(self, program: TrailOwner = TrailOwner.WEB) -> AuditVerdict:
        """Check the chain of a program's audit records."""
        return await self.caller.call(rows.VERIFY_AUDIT, query=ProgramQuery(program))
