"""Sessions: the cookie, its CSRF token, the page to return to, and how long to wait after failed sign-ins. Pure rules.

Rules kept here:

* the cookie contains 256 random bits and nothing else; the server stores their SHA-256;
* the CSRF token is derived from the cookie's value by HMAC, so it need not be stored, and cannot be turned back into
  the cookie;
* the page to return to is kept in a signed cookie, and only a path of this origin is signed or followed;
* the wait after failures grows from one second by doubling, up to a limit;
* an address that failed too often is not locked out, since many people may share it: accounts that were not tried
  from there can still sign in, a few at once and then one every two seconds;
* a browser in which a user has signed in before is known by a signed cookie, and has its own count of failures: guesses
  from elsewhere do not lock the owner out of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sota.boundaries.interaction import Role
from sota.kit.http.connection_limits import network_of

COOKIE = "__Host-sota"
RETURN_COOKIE = "__Host-sota-return"
RETURN_COOKIE_S = 600
KNOWN_COOKIE = "__Host-sota-known"
KNOWN_FOR = timedelta(days=180)
COOKIE_RULES = "Path=/; Secure; HttpOnly; SameSite=Lax"
MAX_RETURN_PATH = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """A session with its account."""

    token: str
    account_id: UUID
    account_name: str
    role: Role
    created_at: datetime
    last_used_at: datetime
    ends_at: datetime
    password_change_due: bool = False
    """Whether the password must be changed before anything else."""

    @property
    def csrf_token(self) -> str:
        """The token that changing requests of this session must carry."""
        return hmac.new(self.token.encode(), b"csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures a bucket tolerates, and how the wait grows after them."""

    forgiven: int
    longest: timedelta

    def wait_after(self, failures: int) -> timedelta:
        """Return the wait after a number of failures in a row.

        >>> Patience(3, timedelta(seconds=60)).wait_after(5).total_seconds()
        2.0
        """
        over = failures - self.forgiven
        return min(timedelta(seconds=2 ** min(over - 1, 20)), self.longest) if over > 0 else timedelta()


# Guessing from one address at one account is limited most. An account that is attacked from many addresses waits
# half a minute at most, so that its owner can sign in; an address that many people may share is tolerated longer.
PAIR = Patience(5, timedelta(minutes=15))
ACCOUNT = Patience(20, timedelta(seconds=30))
ADDRESS = Patience(50, timedelta(minutes=5))
# First attempts at accounts, from an address that has to wait.
FIRST_TRIES = Patience(10, timedelta(seconds=2))
# Enrolment codes cannot be guessed; a client that shows wrong ones must not keep Core busy.
ENROLMENTS = Patience(20, timedelta(minutes=1))
LONGEST_WAIT = max(patience.longest for patience in (PAIR, ACCOUNT, ADDRESS, FIRST_TRIES, ENROLMENTS))
FORGOTTEN_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at an account's password. ``mark`` is that of a known browser, or of an open session."""

    name: str
    address: str
    mark: str | None = None


def buckets(attempt: Attempt) -> dict[str, Patience]:
    """Return the buckets in which an attempt counts. Names are hashed: a typing error may be a password."""
    name, address = attempt.name, network_of(attempt.address)
    if attempt.mark is not None:
        return _hashed({f"known\0{name}\0{attempt.mark}": PAIR})
    return _hashed({f"pair\0{name}\0{address}": PAIR, f"account\0{name}": ACCOUNT, f"address\0{address}": ADDRESS})


def own_buckets(attempt: Attempt) -> dict[str, Patience]:
    """Return the buckets of the name, without that of the whole address."""
    return {bucket: patience for bucket, patience in buckets(attempt).items() if patience is not ADDRESS}


def first_try_bucket(address: str) -> dict[str, Patience]:
    """Return the bucket of an address for first attempts at accounts while the address has to wait."""
    return _hashed({f"first\0{network_of(address)}": FIRST_TRIES})


def enrolment_bucket(address: str) -> dict[str, Patience]:
    """Return the bucket of an address for refused enrolments."""
    return _hashed({f"enrolment\0{network_of(address)}": ENROLMENTS})


def _hashed(keys: dict[str, Patience]) -> dict[str, Patience]:
    return {
        hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest(): patience for key, patience in keys.items()
    }


def set_cookie(token: str) -> str:
    """Return the Set-Cookie value that begins a session; the browser drops it when it is closed."""
    return f"{COOKIE}={token}; {COOKIE_RULES}"


def clear_cookie(name: str = COOKIE) -> str:
    """Return the Set-Cookie value that ends it."""
    return f"{name}=; {COOKIE_RULES}; Max-Age=0"


def set_return_cookie(path: str, key: bytes) -> str:
    """Return the Set-Cookie value that remembers the page to return to during sign-in."""
    return f"{RETURN_COOKIE}={sign_return_path(path, key)}; {COOKIE_RULES}; Max-Age={RETURN_COOKIE_S}"


def set_known_cookie(name: str, now: datetime, key: bytes) -> str:
    """Return the Set-Cookie value that makes a browser known to an account."""
    mark = f"{int((now + KNOWN_FOR).timestamp())}.{secrets.token_urlsafe(16)}"
    value = f"{mark}." + _sign(f"known\0{name}\0{mark}", key)
    return f"{KNOWN_COOKIE}={value}; {COOKIE_RULES}; Max-Age={int(KNOWN_FOR.total_seconds())}"


def read_known_mark(text: str, name: str, now: datetime, key: bytes) -> str | None:
    """Return a known browser's mark; None unless we signed it for this account and it is still valid."""
    mark, _, signature = text.rpartition(".")
    return (
        mark
        if _is_signed(f"known\0{name}\0{mark}", signature, key) and int(mark.partition(".")[0]) > now.timestamp()
        else None
    )


def read_cookie(header: str, name: str) -> str | None:
    """Find a cookie in the Cookie header; None if it is missing or duplicated."""
    found = [
        value.strip() for key, _, value in (part.partition("=") for part in header.split(";")) if key.strip() == name
    ]
    return found[0] if len(found) == 1 and found[0] else None


def is_own_path(path: str) -> bool:
    """Return whether a redirect to ``path`` stays on this origin.

    >>> is_own_path("/?regex=WVW"), is_own_path("//evil.example"), is_own_path("/\\\\evil.example")
    (True, False, False)
    """
    return (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and len(path) <= MAX_RETURN_PATH
        and path.isascii()
        and path.isprintable()
        and "\\" not in path
    )


def sign_return_path(path: str, key: bytes) -> str:
    """Sign the page to return to after sign-in."""
    encoded = base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")
    return f"{encoded}." + _sign(f"return\0{path}", key)


def read_return_path(text: str, key: bytes) -> str | None:
    """Return the page to return to; None unless we signed it and it is of this origin."""
    encoded, _, signature = text.partition(".")
    try:
        path = base64.urlsafe_b64decode(encoded.encode("ascii") + b"=" * (-len(encoded) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return path if _is_signed(f"return\0{path}", signature, key) and is_own_path(path) else None


def _sign(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _is_signed(text: str, signature: str, key: bytes) -> bool:
    return hmac.compare_digest(_sign(text, key).encode(), signature.encode("utf-8", "surrogateescape"))
