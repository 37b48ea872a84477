"""How an answer of Core or of the Resolver becomes one of B1: pure rules.

A code travels unchanged. What B1's row does not know is turned into what it does:

* a neighbour that is away, or whose store is, is 503 on every row (docs/specification.md, ruling 2);
* a neighbour that refuses the Web Server's own credential is no fault of the caller: B1-21 says so in its own words,
  any other row answers as if the neighbour were away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sota.boundaries.binding.call import Call, Reply, Row
from sota.boundaries.calling import Page
from sota.kit.errors import Invalid, Refused, SotaError, Unavailable
from sota.kit.http.paging import MAX_LIMIT, link_to
from sota.kit.runtime.logging import get_logger

CREDENTIAL_REFUSED = "The Web Server's own credential is refused: its operator must renew it."
AWAY = "A program behind the Web Server does not answer now: try again."


@contextmanager
def answering(row: Row) -> Iterator[None]:
    """Turn what a neighbour says into what this row may say."""
    try:
        yield
    except Unavailable as error:  # its detail names addresses, which are ours alone
        get_logger().warning("neighbour_away", interaction=row.id, reason=error.detail)
        raise translate(row, Unavailable(AWAY)) from error
    except Refused as error:
        raise translate(row, error) from error


def translate(row: Row, error: SotaError) -> SotaError:
    """Give the error that this row may answer."""
    if error.code == "unauthenticated" and row.outcome("unauthenticated") is None:
        error = Unavailable(CREDENTIAL_REFUSED)
    return error


def listed(call: Call[Any], page: Page[Any]) -> Reply:
    """Answer with a page of a list, and where the next one begins."""
    headers: dict[str, str] = {}
    if page.cursor is not None:
        headers = link_to(call.url_path, {**call.query, "cursor": page.cursor})
    return Reply("listed" if page.items else "empty", page.items, headers=headers)


def paging(query: Mapping[str, str]) -> dict[str, Any]:
    """Read ``limit`` and ``cursor`` for a call to a neighbour; the cursor is the neighbour's own.

    Raises:
        Invalid: ``limit`` is no number from 1 to 1000.
    """
    limit = query.get("limit")
    if limit is not None and not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_LIMIT):
        raise Invalid(f"limit must be a number from 1 to {MAX_LIMIT}, not {limit[:40]!r}.")
    return {"limit": int(limit) if limit is not None else None, "cursor": query.get("cursor")}


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """Read a query parameter that says yes or no; no where it is missing.

    Raises:
        Invalid: it is neither ``true`` nor ``false``.
    """
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise Invalid(f"{name} must be true or false, not {text[:40]!r}.")
    return text == "true"


def key_of(call: Call[Any]) -> str | None:
    """Give the caller's ``Idempotency-Key``, made its own: one caller's key is never another's."""
    key = call.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= 100 or not key.isascii() or not key.isprintable():
        raise Invalid("Idempotency-Key must have 1 to 100 printable ASCII characters.")
    return f"{call.caller.name[:90]}:{key}"
