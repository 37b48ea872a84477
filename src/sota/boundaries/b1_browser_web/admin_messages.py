"""Bodies of the administration's rows: accounts, tokens, sessions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from sota.boundaries.values import Id, Instant, Message, Request

AccountName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$(?!\n)",
        description="letters, digits and ._@-, beginning with a letter or digit",
    ),
]
TokenName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,49}$(?!\n)",
        description="what the token is for, in letters, digits, spaces and ._@-",
    ),
]
OldPassword = Annotated[str, Meta(min_length=1, max_length=1000)]
NewPassword = Annotated[str, Meta(min_length=12, max_length=1000)]


class AccountRole(StrEnum):
    """The role of an account or token: each may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class NewUser(Request, frozen=True):
    """An account to make. Without ``password`` one is generated, and stands in the answer, once."""

    name: AccountName
    role: AccountRole
    password: NewPassword | None = None


class UserChange(Request, frozen=True):
    """What is to change about an account; ``reset_password`` generates another one, which its owner must replace."""

    role: AccountRole | None = None
    disabled: bool | None = None
    reset_password: bool = False


class User(Message, frozen=True, omit_defaults=False):
    """An account. While ``password_change_due`` is set, it can do nothing but change its password."""

    name: str
    role: str
    disabled: bool
    password_change_due: bool
    created_at: Instant
    password_changed_at: Instant
    sessions: int = 0


class UserCreated(Message, frozen=True):
    """An account that was made, or its new password: ``password`` is the generated one, which is shown once."""

    message: str
    name: str
    password: str | None = None


class PasswordChange(Request, frozen=True):
    """A new password for one's own account."""

    old_password: OldPassword
    new_password: NewPassword


class PasswordChanged(Message, frozen=True):
    """All sessions ended; a browser has a new one, with this CSRF token."""

    message: str
    csrf_token: str | None = None


class SessionEntry(Message, frozen=True, omit_defaults=False):
    """One session of one's own account."""

    address: str
    created_at: Instant
    last_used_at: Instant
    ends_at: Instant
    current: bool


class NewToken(Request, frozen=True):
    """A token to create: personal, or a service's, which only an admin creates and which outlives every account."""

    name: TokenName
    role: AccountRole
    days: Annotated[int, Meta(ge=1, le=366, description="how long it is valid")] = 90
    service: bool = False


class TokenCreated(Message, frozen=True):
    """A token that was made. ``token`` is shown once; only its hash is kept."""

    message: str
    id: Id
    token: str
    expires_at: Instant


class Token(Message, frozen=True):
    """A token that is valid. ``account`` is whose it is, absent for a service's."""

    id: Id
    name: str
    role: str
    created_at: Instant
    account: str | None = None
    expires_at: Instant | None = None
    last_used_at: Instant | None = None
