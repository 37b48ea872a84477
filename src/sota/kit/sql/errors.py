"""What a database engine's error means: repeat, wait, give up, or never start.

Numbers are the server's (1xxx, 3xxx, 4xxx) and the client library's (2xxx); SQLite's errors have names.

========================= =============================================================================================
``rejection``             the user, password, schema or certificate is wrong: a start ends, a running program waits
``is_repeatable``         the same transaction may succeed when it is repeated immediately
``is_passing``            it may succeed later: the store is down, full, read-only or damaged; callers get 503
========================= =============================================================================================

Any other error is a fault of the statement, and is raised unchanged.
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

# The user, password, host or schema is wrong, or the account may not be used: waiting does not help.
REJECTED = frozenset({1044, 1045, 1049, 1130, 1251, 1698, 1820, 1862, 4151})
DATABASE_DENIED = 1044
# The server aborted the transaction. 1020: a record changed since it was read; 1205: lock time-out; 1213: deadlock;
# 1412: a migration changed the table meanwhile.
GIVEN_UP = frozenset({1020, 1205, 1213, 1412})
# The connection is lost. 1053: the server shuts down; 1158 to 1161: network; 1927: killed; 4031: idle for too long.
LOST = frozenset({1053, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2045, 2055, 4031})
# There was no connection: the server is down, or its limit or this user's limit of connections is reached.
# 1047: not part of its cluster now; 1226: the user's hourly limit; 1129: the host is blocked after many errors.
AWAY = frozenset({1040, 1042, 1043, 1047, 1129, 1203, 1226, 2002, 2003, 2005})
# The server takes no writes, perhaps after a failover: another connection may reach a server that does.
READ_ONLY = frozenset({1290, 1836, 3100})
# The server cannot write or read its files, or has no memory. 1021: disk full; 1114: a table is full; 1030: an error
# of the storage engine; 1034, 1035, 1194, 1195, 1877, 1712, 1932: a table is damaged.
FAILING = frozenset({
    1002, 1003, 1004, 1005, 1006, 1009, 1014, 1015, 1016, 1021, 1023, 1024, 1026, 1030, 1034, 1035, 1036, 1037, 1038,
    1041, 1078, 1114, 1126, 1135, 1180, 1181, 1194, 1195, 1257, 1297, 1637, 1712, 1812, 1815, 1877, 1932, 3675,
})  # fmt: skip
# The statement was stopped: by its time limit (1969 and 4078 of MariaDB, 3024 of MySQL) or by an administrator (1317).
STOPPED = frozenset({1317, 1907, 1969, 3024, 4078})

PASSING = GIVEN_UP | LOST | AWAY | READ_ONLY | FAILING | STOPPED | REJECTED

# SQLite's results by the first byte of the code; the other bytes say where it happened (sqlite.org/rescode.html).
SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
SQLITE_PASSING = SQLITE_BUSY | {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOTADB,
}
# A connection with one of these errors may keep a broken view of the file: it is not used again.
SQLITE_BROKEN = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN}
    | {sqlite3.SQLITE_NOTADB}
)


def is_lost(error: DBAPIError) -> bool:
    """Return whether the connection broke; its statement may or may not have been executed."""
    if _number(error) in READ_ONLY or _sqlite(error) is not None:
        return False  # the connection is dropped, but certainly nothing was done
    return error.connection_invalidated or _number(error) in LOST


def is_repeatable(error: DBAPIError) -> bool:
    """Return whether the same transaction may succeed when it is repeated."""
    return is_lost(error) or _number(error) in GIVEN_UP | AWAY | READ_ONLY or _sqlite(error) in SQLITE_BUSY


def is_given_up(error: BaseException) -> bool:
    """Return whether the server aborted the transaction in favour of another one."""
    return _number(error) in GIVEN_UP


def is_read_only(error: BaseException) -> bool:
    """Return whether the server takes no writes, for a moment or until its administrator changes that."""
    return _number(error) in READ_ONLY


def is_passing(error: DBAPIError) -> bool:
    """Return whether the store failed, not the statement: the same request may succeed later."""
    number = _number(error)
    if number == DATABASE_DENIED:  # reported for a connection, but also for a faulty statement
        return error.statement is None
    return error.connection_invalidated or number in PASSING or _sqlite(error) in SQLITE_PASSING


def takes_no_writes(error: BaseException) -> bool:
    """Return whether the error shows that the store is full, read-only or damaged."""
    return _number(error) in READ_ONLY | FAILING or _sqlite(error) in SQLITE_PASSING - SQLITE_BUSY


def drops_connection(error: BaseException) -> bool:
    """Return whether this connection, and older ones, should be replaced although they are not lost."""
    return _number(error) in READ_ONLY or _sqlite(error) in SQLITE_BROKEN


def rejection(error: BaseException) -> str | None:
    """Return why the database rejects us, as the end of a sentence; None if waiting may help."""
    number = _number(error)
    if number in REJECTED:
        return f"rejects the connection: wrong user, password or schema ({number}): {_words(error)}"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return f"does not speak TLS with us: {cause.reason or cause}"
    return None


def explain(error: BaseException) -> str:
    """Return the failure as the end of a sentence: for the log, the operator and ``/readyz``."""
    if isinstance(error, TimeoutError):
        return "does not answer"
    return rejection(error) or (f"fails: {reason(error)}")


def reason(error: BaseException) -> str:
    """Return the engine's own words, in one line."""
    return _words(error) or type(error).__name__


def _words(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    arguments = original.args
    text = str(arguments[1] if _number(error) is not None and len(arguments) > 1 else original)
    return " ".join(text.split())[:300]


def _number(error: BaseException) -> int | None:
    original = getattr(error, "orig", None) or error
    return original.args[0] if original.args and isinstance(original.args[0], int) else None


def _sqlite(error: BaseException) -> int | None:
    """Return the primary result code of an error of SQLite."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
