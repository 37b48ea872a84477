"""Cursors that a list did not return: the row's 'an error occurs', or 400 where the row has none."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.errors import Failed, Unreadable
from sota.kit.http.paging import (
    BY_MOMENT,
    BY_NAME,
    BY_PLACE,
    MAX_CURSOR,
    Key,
    Number,
    link_next,
    make_cursor,
    read_cursor,
)

PATH = "/api/v1/things"
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
KINDS = [Key, Number, UUID, BY_NAME, BY_MOMENT, BY_PLACE]


@dataclass
class Asked:
    """A request for a page of the things."""

    raw_query: dict[str, str] = field(default_factory=dict)
    url_path: str = PATH
    template: str = PATH


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


def asked(cursor: str) -> Asked:
    return Asked({"cursor": cursor})


@pytest.mark.parametrize("cursor", ["", "!", "bm9uc2Vuc2U", "ÿ", "null", "IldWVyI", "A" * (MAX_CURSOR + 1)])
def test_cursor_of_another_maker_cannot_be_read(cursor: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_cursor(asked(cursor))
    assert isinstance(refused.value, Failed)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (Key, "WVW"),
        (Number, 7),
        (UUID, UUID(ID)),
        (BY_NAME, ("ivi", "2.1.0")),
        (BY_MOMENT, (datetime(2026, 3, 1, tzinfo=UTC), UUID(ID))),
        (BY_PLACE, (UUID(ID), 3)),
    ],
)
def test_cursor_of_the_list_is_read_back(kind: Any, key: Any) -> None:
    assert read_cursor(asked(make_cursor(PATH, key)), kind) == key


def test_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(Unreadable):
        read_cursor(asked(make_cursor("/api/v1/others", "WVW")))


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (Key, 1),
        (Key, "x" * 300),
        (Number, -1),
        (Number, 1 << 70),
        (UUID, "WVW"),
        (BY_NAME, ["ivi"]),
        (BY_MOMENT, ["9999-12-31T23:59:59-14:00", ID]),
        (BY_MOMENT, ["2026-03-01T00:00:00", ID]),
        (BY_PLACE, [ID, 1 << 70]),
    ],
)
def test_cursor_with_a_key_that_no_store_can_compare_is_refused(kind: Any, key: Any) -> None:
    with pytest.raises(Unreadable):
        read_cursor(asked(make_cursor(PATH, key)), kind)


@given(st.sampled_from(KINDS), st.text(max_size=40) | st.binary(max_size=40).map(encoded))
def test_whatever_comes_back_is_a_key_or_refused(kind: Any, text: str) -> None:
    try:
        key = read_cursor(asked(text), kind)
    except Unreadable:
        return
    assert read_cursor(asked(make_cursor(PATH, key)), kind) == key


def test_next_page_is_of_the_same_path_and_query() -> None:
    call = Asked({"limit": "2", "regex": "a&b"}, url_path="/api/v1/things")
    link = link_next(call, "WVW")["link"]
    assert link == f'<{PATH}?limit=2&regex=a%26b&cursor={make_cursor(PATH, "WVW")}>; rel="next"'
