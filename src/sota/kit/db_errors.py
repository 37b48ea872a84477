"""What an error of a database engine means for us: repeat, give up, or never start.

Numbers are the server's (1xxx, 3xxx, 4xxx) and the client library's (2xxx).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, OperationalError

# The user, password, host or schema is wrong, or the account may not be used: waiting does not help.
REJECTED = frozenset({1044, 1045, 1049, 1130, 1251, 1698, 1820, 1862, 4151})
# The server gave the transaction up. 1020: a record changed since it was read; 1205: lock time-out; 1213: deadlock;
# 1412: a migration changed the table meanwhile.
GIVEN_UP = frozenset({1020, 1205, 1213, 1412})
# The connection is gone. 1053: the server shuts down; 1158 to 1161: network; 1927: killed; 4031: idle for too long.
LOST = frozenset({1053, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2045, 2055, 4031})
# There was no connection: nobody listens, or the server has as many as it takes. 1047: not part of its cluster now.
AWAY = frozenset({1040, 1047, 1203, 2002, 2003, 2005})


def is_lost(error: DBAPIError) -> bool:
    """Say whether the connection broke; what it was doing may have been done, or not."""
    return error.connection_invalidated or _number(error) in LOST


def is_repeatable(error: DBAPIError) -> bool:
    """Say whether the same transaction may succeed when it is done again."""
    if is_lost(error) or _number(error) in GIVEN_UP | AWAY:
        return True
    return isinstance(error, OperationalError) and "database is locked" in str(error.orig)


def rejection(error: BaseException) -> str | None:
    """Say why the database will not have us, as the end of a sentence; ``None`` where waiting may help."""
    number = _number(error)
    if number in REJECTED:
        return f"rejects the connection: wrong user, password or schema ({number}): {_words(error)}"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return f"does not speak TLS with us: {cause.reason or cause}"
    return None


def reason(error: BaseException) -> str:
    """Give the engine's own words, in one line."""
    return _words(error) or type(error).__name__


def _words(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    arguments = original.args
    text = str(arguments[1] if _number(error) is not None and len(arguments) > 1 else original)
    return " ".join(text.split())[:300]


def _number(error: BaseException) -> int | None:
    original = getattr(error, "orig", None) or error
    return original.args[0] if original.args and isinstance(original.args[0], int) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
