"""Pages of a list: ``limit`` and ``cursor`` in the query, ``Link: <…>; rel="next"`` in the answer (RFC 8288).

A cursor is the last key of the page before: base64url of JSON, opaque to callers. A caller can send back anything, so:

* a cursor names its list: one of another list is refused, also where the key would fit;
* it has the key's type and at most :data:`MAX_CURSOR` characters; what a store cannot compare with is refused here.

>>> from types import SimpleNamespace
>>> vehicles = SimpleNamespace(template="/v", raw_query={"cursor": make_cursor("/v", "WVW")}, url_path="/v")
>>> read_cursor(vehicles)
'WVW'
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
from msgspec import Meta

from sota.kit.errors import Unreadable

MAX_CURSOR = 2048
Key = Annotated[str, Meta(min_length=1, max_length=256)]
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Moment = Annotated[datetime, Meta(tz=True)]
BY_NAME = tuple[Key, Key]  # name and version
BY_MOMENT = tuple[Moment, UUID]
BY_PLACE = tuple[UUID, Number]  # an id and a position in it
NOT_OURS = "The cursor is not one that this list returned: start again without it."


class Asked(Protocol):
    """What a request for a page is read from: see :class:`sota.boundaries.binding.call.Call`."""

    @property
    def template(self) -> str: ...
    @property
    def raw_query(self) -> Mapping[str, str]: ...
    @property
    def url_path(self) -> str: ...


def read_cursor(call: Asked, kind: Any = Key, *, path: str | None = None) -> Any:
    """Read ``cursor`` into the key that it stands for, or None at the first page. (Any: annotated types have no type.)

    ``path`` names the list by its path where it is not that of the call's own row.

    Raises:
        Unreadable: this list did not return it (docs/specification.md, ruling 2: a bad cursor is the row's 'an error
        occurs').
    """
    text = call.raw_query.get("cursor")
    if text is None:
        return None
    if len(text) > MAX_CURSOR:
        raise Unreadable(NOT_OURS)
    try:
        padded = text + "=" * (-len(text) % 4)
        content = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        tag, key = msgspec.json.decode(content, type=tuple[int, kind])
        if tag != _tag(path or call.template):
            raise Unreadable(NOT_OURS)
        return _in_utc(key)
    except (binascii.Error, ValueError, OverflowError, msgspec.MsgspecError):
        raise Unreadable(NOT_OURS) from None


def make_cursor(path: str, key: object) -> str:
    """Return the cursor of the list at ``path`` (a row's template) that continues after ``key``."""
    return base64.urlsafe_b64encode(msgspec.json.encode((_tag(path), key))).decode().rstrip("=")


def link_next(call: Asked, key: object) -> dict[str, str]:
    """Return the ``Link`` header of a page that has a next one, which begins after ``key``."""
    return link_to(call.url_path, {**call.raw_query, "cursor": make_cursor(call.template, key)})


def link_to(url_path: str, query: Mapping[str, str]) -> dict[str, str]:
    """Return a ``Link`` header to the next page, at this path and query."""
    return {"link": f'<{quote(url_path)}?{urlencode(query)}>; rel="next"'}


def _tag(path: str) -> int:
    return zlib.crc32(path.encode())


def _in_utc(key: object) -> object:
    """Move the moments of a key to UTC; the first and the last year have moments that UTC does not have."""
    if isinstance(key, tuple):
        return tuple(_in_utc(member) for member in key)
    return key.astimezone(UTC) if isinstance(key, datetime) else key
