"""The ``timeout`` of a message, in its three forms."""

from __future__ import annotations

import pytest

from sota.kit.errors import StartError
from sota.rvi.edge import MAX_KEEP_S, read_timeout
from sota.rvi.settings import NodeSettings, read_peer

NOW = 1_795_437_985.0


@pytest.mark.parametrize(
    ("timeout", "deadline"),
    [
        (1_795_438_045, 1_795_438_045.0),  # unix seconds
        (1_795_437_900, 1_795_437_900.0),  # over a moment ago
        (5000, NOW + 5),  # milliseconds from now
        (0, NOW),
        (1_795_438_045_000, 1_795_438_045.0),  # unix milliseconds
        (-5000, NOW - 5),
        (9_999_999_999, NOW + MAX_KEEP_S),
    ],
)
def test_a_timeout_is_read_as_a_moment(timeout: int, deadline: float) -> None:
    assert read_timeout(timeout, NOW) == deadline


@pytest.mark.parametrize("text", ["127.0.0.1:8810", "http://a:1", "tls://a", "tls://:1", "tls://a:99999", ""])
def test_what_is_no_address_of_a_node_is_refused(text: str) -> None:
    with pytest.raises(StartError, match="no"):
        read_peer(text)


def test_an_address_tells_the_language() -> None:
    assert [read_peer(text)[1] for text in ("tls://a:1", "tls+json://a:1", "tcp://a:1")] == ["msgpack", "json", "json"]


def test_a_prefix_ends_in_one_slash() -> None:
    assert NodeSettings(prefix="genivi.org/backend/").prefix_path == "genivi.org/backend/"
    assert NodeSettings(prefix="genivi.org/backend").prefix_path == "genivi.org/backend/"
