"""API tokens, one's own and those of services.

Rules kept here:

* a token never has more rights than its creator, and never outlives the token that it was created with, whether by
  its end or by revocation;
* a password change revokes the account's tokens;
* a service's token is created by an admin, and ends with no account;
* an admin sees and revokes all tokens, other users only their own.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sota.boundaries.b1_browser_web.admin_messages import NewToken, Token
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.interaction import Role
from sota.boundaries.parameters import IdPath, ListQuery
from sota.kit.errors import NotFound, Refused
from sota.kit.http.paging import link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.web.accounts import model, token_store
from sota.web.accounts.service import make_token
from sota.web.visitor import visitor_of


class TokensApi:
    """Creates, lists and revokes tokens."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    @serves("X-B1-50")
    async def tokens(self, call: Call[None, ListQuery, None]) -> Reply:
        """List tokens that are valid."""
        visitor = visitor_of(call)
        limit, after = call.query.limit, read_cursor(call, UUID)
        async with self._db.read() as tx:
            found = await token_store.list_tokens(
                tx,
                self._clock.now(),
                limit + 1,
                after,
                account_id=visitor.account_id,
                everybodys=visitor.role is Role.ADMIN,
            )
        tokens = [as_token(token) for token in found[:limit]]
        headers = link_next(call, tokens[-1].id) if len(found) > limit else {}
        return Reply("listed" if tokens else "empty", tokens, headers=headers)

    @serves("X-B1-51")
    async def new_token(self, call: Call[None, None, NewToken]) -> Reply:
        """Create a token; only this answer ever contains it."""
        visitor = visitor_of(call)
        new, role = call.body, Role(call.body.role)
        if not visitor.role.allows(role) or (new.service and visitor.role is not Role.ADMIN):
            what = f"a service's token with the role {role}" if new.service else f"a token with the role {role}"
            raise Refused("above_own_role", f"Your role is {visitor.role}: you cannot make {what}.")
        if not new.service and visitor.account_id is None:
            raise Refused("no_account", "You are a service: an admin can make a token with 'service': true.")
        now = self._clock.now()
        ends = now + timedelta(days=new.days)
        expires_at = min(ends, visitor.expires_at) if visitor.expires_at is not None else ends
        token_id, token = await make_token(
            self._db,
            role,
            new.name,
            account_id=None if new.service else visitor.account_id,
            expires_at=expires_at,
            now=now,
            parent_id=visitor.token_id,
        )
        return Reply("created", {"id": str(token_id), "token": token, "expires_at": expires_at})

    @serves("X-B1-52")
    async def revoke_token(self, call: Call[IdPath, None, None]) -> Reply:
        """Revoke a token."""
        visitor = visitor_of(call)
        token_id, now, everybodys = UUID(call.path.id), self._clock.now(), visitor.role is Role.ADMIN
        name = await self._db.transact(
            lambda tx: token_store.revoke_token(tx, token_id, now, account_id=visitor.account_id, everybodys=everybodys)
        )
        if name is None:
            raise NotFound("You have no valid token of this id.")
        visitor.acting_on = f"tokens/{token_id} name={name}"
        return Reply("revoked")


def as_token(token: model.Token) -> Token:
    """Return a token for an answer."""
    return Token(
        id=str(token.id),
        name=token.name,
        role=token.role.value,
        account=token.account,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )
