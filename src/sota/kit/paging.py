"""Pages of a list: ``limit`` and ``cursor`` in the query, ``Link: <…>; rel="next"`` in the answer (RFC 8288).

A cursor is the last key of the page before, base64url of JSON: opaque to callers, checked when it comes back.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from sota.kit.errors import Invalid, Unreadable

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


def read_limit(query: Mapping[str, str]) -> int:
    """Read ``limit``: 1 to 1000, 100 where none is given.

    Raises:
        Invalid: not a number, or out of range.
    """
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
        raise Invalid(f"limit must be a number from 1 to {MAX_LIMIT}, not {text[:40]!r}")
    return int(text)


def read_cursor(query: Mapping[str, str], kind: Any = str) -> Any:
    """Read ``cursor`` into the key it stands for, or None at the first page.

    Raises:
        Unreadable: it is not one that we gave (docs/specification.md, ruling 2: a bad cursor is the row's 'an error
        occurs').
    """
    text = query.get("cursor")
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded.encode("ascii")), type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Unreadable("The cursor is not one that this service gave: start again without it.") from None


def make_cursor(key: Any) -> str:
    """Turn the last key of a page into a cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def link_next(path: str, query: Mapping[str, str], key: Any) -> dict[str, str]:
    """Give the ``Link`` header of a page that has a next one."""
    following = {**query, "cursor": make_cursor(key)}
    return {"link": f'<{path}?{urlencode(following)}>; rel="next"'}
