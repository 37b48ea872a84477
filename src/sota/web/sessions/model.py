"""Sessions: the cookie, its CSRF token, the page to return to, and how long to wait after failed sign-ins. Pure rules.

Rules kept here:

* the cookie holds 256 random bits and nothing else; the server keeps their SHA-256;
* the CSRF token is derived from the cookie's value by HMAC, so it need not be kept, and whoever reads it cannot make
  the cookie;
* the page to return to is kept in a signed cookie, and only a path of this origin is ever signed or followed;
* the wait after failures grows from one second by doubling, and has an end;
* an address that failed too often is not locked out, for many people may sit behind it: accounts that were not tried
  from there still get in, a few at once and then one every two seconds;
* a browser in which somebody has signed in before is known by a signed mark, and counts its failures by itself: however
  long others guess at an account, and from wherever, its owner gets in there. So nobody can be locked out for ever.
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
    """Somebody who is signed in."""

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
        """What requests of this session that change something must carry."""
        return hmac.new(self.token.encode(), b"csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """A session as its owner sees it in a list: without what its holder has."""

    address: str
    created_at: datetime
    last_used_at: datetime
    ends_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures a bucket forgives, and how the wait grows after them."""

    forgiven: int
    longest: timedelta

    def wait_after(self, failures: int) -> timedelta:
        """Give the wait after so many failures in a row.

        >>> Patience(3, timedelta(seconds=60)).wait_after(5).total_seconds()
        2.0
        """
        over = failures - self.forgiven
        return min(timedelta(seconds=2 ** min(over - 1, 20)), self.longest) if over > 0 else timedelta()


# Guessing from one address at one account is stopped hardest. An account that is attacked from many addresses waits
# half a minute at most, so that its owner gets in; an address behind which many people sit is forgiven more.
PAIR = Patience(5, timedelta(minutes=15))
ACCOUNT = Patience(20, timedelta(seconds=30))
ADDRESS = Patience(50, timedelta(minutes=5))
# The first tries at accounts from an address that has used up its own patience.
FIRST_TRIES = Patience(10, timedelta(seconds=2))
# Enrolment codes cannot be guessed; who shows wrong ones may not keep Core busy.
ENROLMENTS = Patience(20, timedelta(minutes=1))
LONGEST_WAIT = max(patience.longest for patience in (PAIR, ACCOUNT, ADDRESS, FIRST_TRIES, ENROLMENTS))
FORGOTTEN_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try at an account's password. ``mark`` is that of a browser known to the account, or of an open session."""

    name: str
    address: str
    mark: str | None = None


def buckets(attempt: Attempt) -> dict[str, Patience]:
    """Give the buckets in which a try counts. Names are hashed: a slip may be a password."""
    name, address = attempt.name, network_of(attempt.address)
    if attempt.mark is not None:
        return _hashed({f"known\0{name}\0{attempt.mark}": PAIR})
    return _hashed({f"pair\0{name}\0{address}": PAIR, f"account\0{name}": ACCOUNT, f"address\0{address}": ADDRESS})


def own_buckets(attempt: Attempt) -> dict[str, Patience]:
    """Return the buckets of the name that is tried, without that of the whole address."""
    return {bucket: patience for bucket, patience in buckets(attempt).items() if patience is not ADDRESS}


def first_try_bucket(address: str) -> dict[str, Patience]:
    """Return the bucket of an address in which first tries at accounts count while the address has to wait."""
    return _hashed({f"first\0{network_of(address)}": FIRST_TRIES})


def enrolment_bucket(address: str) -> dict[str, Patience]:
    """Return the bucket of an address in which refused enrolments count."""
    return _hashed({f"enrolment\0{network_of(address)}": ENROLMENTS})


def _hashed(keys: dict[str, Patience]) -> dict[str, Patience]:
    return {
        hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest(): patience for key, patience in keys.items()
    }


def new_session_token() -> str:
    """Make a session cookie's value."""
    return secrets.token_urlsafe(32)


def set_cookie(token: str) -> str:
    """Give the Set-Cookie value that begins a session; the browser forgets it when it is closed."""
    return f"{COOKIE}={token}; {COOKIE_RULES}"


def clear_cookie(name: str = COOKIE) -> str:
    """Give the Set-Cookie value that ends it."""
    return f"{name}=; {COOKIE_RULES}; Max-Age=0"


def set_return_cookie(path: str, key: bytes) -> str:
    """Give the Set-Cookie value that remembers the page to return to while somebody signs in."""
    return f"{RETURN_COOKIE}={sign_return_path(path, key)}; {COOKIE_RULES}; Max-Age={RETURN_COOKIE_S}"


def set_known_cookie(name: str, now: datetime, key: bytes) -> str:
    """Give the Set-Cookie value by which a browser is known to an account from now on."""
    mark = f"{int((now + KNOWN_FOR).timestamp())}.{secrets.token_urlsafe(16)}"
    value = f"{mark}.{_known_signature(name, mark, key)}"
    return f"{KNOWN_COOKIE}={value}; {COOKIE_RULES}; Max-Age={int(KNOWN_FOR.total_seconds())}"


def read_known_mark(text: str, name: str, now: datetime, key: bytes) -> str | None:
    """Give the mark of a browser that is known to this account, or None unless we signed it and it still counts."""
    mark, _, signature = text.rpartition(".")
    signed = hmac.compare_digest(
        _known_signature(name, mark, key).encode(), signature.encode("utf-8", "surrogateescape")
    )
    return mark if signed and int(mark.partition(".")[0]) > now.timestamp() else None


def read_cookie(header: str, name: str) -> str | None:
    """Find a cookie in the Cookie header; None where it is missing or stands there twice."""
    found = [
        value.strip() for key, _, value in (part.partition("=") for part in header.split(";")) if key.strip() == name
    ]
    return found[0] if len(found) == 1 and found[0] else None


def is_own_path(path: str) -> bool:
    """Say whether a browser that is sent to ``path`` stays on this origin.

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
    """Sign the page to return to after signing in."""
    return f"{base64.urlsafe_b64encode(path.encode()).decode().rstrip('=')}.{_signature(path, key)}"


def read_return_path(text: str, key: bytes) -> str | None:
    """Give the page to return to, or None unless we signed it and it is of this origin."""
    encoded, _, signature = text.partition(".")
    try:
        path = base64.urlsafe_b64decode(encoded.encode("ascii") + b"=" * (-len(encoded) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    signed = hmac.compare_digest(_signature(path, key).encode(), signature.encode("utf-8", "surrogateescape"))
    return path if signed and is_own_path(path) else None


def _known_signature(name: str, mark: str, key: bytes) -> str:
    text = f"known\0{name}\0{mark}".encode("utf-8", "surrogateescape")
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _signature(path: str, key: bytes) -> str:
    return hmac.new(key, b"return\0" + path.encode(), hashlib.sha256).hexdigest()
