"""Accounts, for admins."""

from __future__ import annotations

from sota.boundaries.b1_browser_web.admin_messages import NewUser, User, UserChange
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.interaction import Role
from sota.boundaries.parameters import ListQuery, UserPath
from sota.kit.errors import NotFound
from sota.kit.http.paging import link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.web.accounts import store
from sota.web.accounts.model import Account, generate_password
from sota.web.accounts.service import add_account, change_account, delete_account


class UsersApi:
    """Creates, changes and deletes accounts."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    @serves("X-B1-45")
    async def users(self, call: Call[None, ListQuery, None]) -> Reply:
        """List the accounts."""
        limit, after = call.query.limit, read_cursor(call)
        async with self._db.read() as tx:
            found = await store.list_accounts(tx, limit + 1, after)
        users = [as_user(account, sessions) for account, sessions in found[:limit]]
        headers = link_next(call, users[-1].name) if len(found) > limit else {}
        return Reply("listed" if users else "empty", users, headers=headers)

    @serves("X-B1-46")
    async def new_user(self, call: Call[None, None, NewUser]) -> Reply:
        """Create an account. Its creator knows the first password, so its owner must replace it."""
        new = call.body
        generated = generate_password() if new.password is None else None
        password = new.password or generated or ""
        await add_account(self._db, new.name, Role(new.role), password, change_due=True, clock=self._clock)
        return Reply("created", _created(new.name, generated))

    @serves("X-B1-47")
    async def user(self, call: Call[UserPath, None, None]) -> Reply:
        """Return one account."""
        async with self._db.read() as tx:
            found = await store.describe_account(tx, call.path.user)
        if found is None:
            raise NotFound(f"There is no account {call.path.user[:64]}.")
        return Reply("found", as_user(*found))

    @serves("X-B1-48")
    async def change_user(self, call: Call[UserPath, None, UserChange]) -> Reply:
        """Change an account's role, disable or enable it, or give it another password."""
        name, change = call.path.user, call.body
        generated = generate_password() if change.reset_password else None
        await change_account(
            self._db,
            name,
            role=Role(change.role) if change.role is not None else None,
            disabled=change.disabled,
            password=generated,
            change_due=True,
            clock=self._clock,
        )
        return Reply("changed", _created(name, generated))

    @serves("X-B1-49")
    async def delete_user(self, call: Call[UserPath, None, None]) -> Reply:
        """Delete an account."""
        await delete_account(self._db, call.path.user)
        return Reply("deleted")


def as_user(account: Account, sessions: int) -> User:
    """Return an account for an answer, without its password."""
    return User(
        name=account.name,
        role=account.role.value,
        disabled=account.disabled,
        password_change_due=account.password_change_due,
        created_at=account.created_at,
        password_changed_at=account.password_changed_at,
        sessions=sessions,
    )


def _created(name: str, generated: str | None) -> dict[str, str]:
    return {"name": name, **({"password": generated} if generated is not None else {})}
