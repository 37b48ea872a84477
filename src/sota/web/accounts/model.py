"""Accounts and tokens: their values and rules, without I/O.

Rules kept here:

* a password is 12 to 1000 characters; a generated one has 120 random bits in groups that can be read aloud;
* an API token is ``sota_`` and 256 random bits; only its SHA-256 is stored, which suffices for a random value;
* a token has one role and, unless it is for our own programs, an end; it belongs to an account or to a service;
* an account's token never has more rights than its owner, and is invalid while the owner is disabled.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sota.boundaries.interaction import Role
from sota.kit.errors import Invalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MIN_PASSWORD, MAX_PASSWORD = 12, 1000
FIRST_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """An account that can sign in."""

    id: UUID
    name: str
    role: Role
    password_hash: str
    password_change_due: bool
    disabled: bool
    created_at: datetime
    password_changed_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret. ``account`` is its owner's name, None for a service's."""

    id: UUID
    name: str
    role: Role
    account_id: UUID | None
    account: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @property
    def actor(self) -> str:
        """Its name in the audit trail. No account name contains a colon or a slash."""
        return f"token:{self.name}" if self.account is None else f"{self.account}/{self.name}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a new token: the owning account, and the token that it was created with."""

    account_id: UUID | None = None
    parent_id: UUID | None = None


def lesser(one: Role, other: Role) -> Role:
    """Return the role with fewer rights.

    >>> lesser(Role.ADMIN, Role.VIEWER).value
    'viewer'
    """
    return other if one.allows(other) else one


def check_name(name: str) -> str:
    """Return the account's name if it is valid.

    Raises:
        Invalid: it is not.
    """
    if NAME.fullmatch(name) is None:
        raise Invalid(
            f"{name[:64]!r} is no account name: 1 to 64 letters, digits and ._@-, beginning with a letter or digit."
        )
    return name


def check_password(password: str) -> str:
    """Return a new password if it is long enough.

    Raises:
        Invalid: it is too short or far too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    return password


def generate_password() -> str:
    """Generate a password: six groups of four letters and digits, without similar characters (120 bits).

    >>> len(generate_password())
    29
    """
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(6))


def generate_token() -> str:
    """Generate an API token."""
    return "sota_" + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token or session cookie, in hex: what is stored of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
