"""Cursors that are none of ours: the row's 'an error occurs', or 400 where the row has none."""

from __future__ import annotations

import pytest

from sota.kit.errors import Failed, Unreadable
from sota.kit.paging import make_cursor, read_cursor


@pytest.mark.parametrize("cursor", ["", "!", "bm9uc2Vuc2U", "ÿ", "null"])
def test_cursor_of_somebody_else_cannot_be_read(cursor: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_cursor({"cursor": cursor})
    assert isinstance(refused.value, Failed)


def test_cursor_of_ours_is_read_back() -> None:
    assert read_cursor({"cursor": make_cursor("WVW")}) == "WVW"
