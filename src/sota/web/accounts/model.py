"""Accounts and tokens: their values and rules, without I/O.

Rules kept here:

* a password is 12 to 1000 characters; a generated one has 120 random bits in groups that can be read aloud;
* an API token is ``sota_`` and 256 random bits; only its SHA-256 is kept, which is enough for something that cannot
  be guessed;
* a token has one role and, unless it is for our own programs, an end.
"""

from __future__ import annotations

import base64
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
    """Somebody who can sign in."""

    id: UUID
    name: str
    role: Role
    password_hash: str
    password_change_due: bool
    disabled: bool


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """Who stands behind a token that was accepted."""

    id: UUID
    name: str
    role: Role
    expires_at: datetime | None


def check_name(name: str) -> str:
    """Give the account's name back if it is one.

    Raises:
        Invalid: it is not.
    """
    if NAME.fullmatch(name) is None:
        raise Invalid(
            f"{name[:64]!r} is no account name: 1 to 64 letters, digits and ._@-, beginning with a letter or digit."
        )
    return name


def check_password(password: str) -> str:
    """Give a new password back if it is long enough.

    Raises:
        Invalid: it is too short or far too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    return password


def generate_password() -> str:
    """Make a password: six groups of four letters and digits, without those that look alike (120 bits).

    >>> len(generate_password())
    29
    """
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(6))


def generate_token() -> str:
    """Make an API token."""
    return "sota_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def hash_token(token: str) -> str:
    """Give what is kept of a token or session cookie: its SHA-256, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
