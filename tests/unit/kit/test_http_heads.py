"""The cache of heads agrees with the parser, and leaves unusual heads to it."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.http.heads import MAX_HEAD_BYTES, MAX_KNOWN, KnownHeads, read_answer, read_request

REQUEST = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 5\r\n\r\n"


def test_a_request_is_found_where_it_begins() -> None:
    heads = KnownHeads(read_request)
    data = b"before" + REQUEST + b"hello" + REQUEST
    for _ in range(2):
        found = heads.find(data, 6)
        assert found is not None
        head, start = found
        assert (head.method, head.target, head.length) == (b"POST", b"/a?b", 5)
        assert head.headers[1] == (b"content-type", b"application/json")
        assert data[start : start + head.length] == b"hello"
        assert heads.find(data, start + 5) is not None


def test_an_answer_is_found() -> None:
    found = KnownHeads(read_answer).find(ANSWER + b"hello", 0)
    assert found is not None
    assert (found[0].status, found[0].length, found[1]) == (200, 5, len(ANSWER))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"),
        (b"Content-Length: 5", b"Content-Length: +5"),
        (b"Content-Length: 5", b"Content-Length: 5x"),
        (b"Content-Length: 5", b"X: 5"),
        (b"Host: x", b"Connection: close"),
        (b"Host: x", b"Expect: 100-continue"),
        (b"Host: x", b"Upgrade: websocket\r\nConnection: upgrade"),
        (b"Host: x", b"Host x"),
        (b"Host: x", b"Host: x\n\nGET / HTTP/1.1"),
        (b"Host: x", b"Host: " + b"x" * MAX_HEAD_BYTES),
        (b"POST", b"NO SUCH"),
    ],
)
def test_what_is_unusual_is_left_to_the_parser(old: bytes, new: bytes) -> None:
    heads = KnownHeads(read_request)
    content = REQUEST.replace(old, new)
    assert content != REQUEST
    assert heads.find(content, 0) is None
    assert heads.find(content, 0) is None
    assert heads.find(REQUEST[:-1], 0) is None


@pytest.mark.parametrize("status", [b"100", b"204", b"304"])
def test_an_answer_without_a_body_is_left_to_the_parser(status: bytes) -> None:
    assert KnownHeads(read_answer).find(ANSWER.replace(b"200", status), 0) is None


def test_what_is_kept_is_bounded_and_given_up_where_it_is_of_no_use() -> None:
    useful, useless = KnownHeads(read_request), KnownHeads(read_request)
    for number in range(3 * MAX_KNOWN):
        head = REQUEST.replace(b": 5", b": %d" % number)
        for _ in range(3):
            found = useful.find(head, 0)
            assert found is not None
            assert found[0].length == number
        assert (useless.find(head, 0) is not None) == (number < MAX_KNOWN)
    assert useful._known is not None
    assert len(useful._known) <= MAX_KNOWN


class Ended:
    """Counts what the parser finds whole."""

    heads = messages = 0

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_message_complete(self) -> None:
        self.messages += 1


@pytest.mark.hypothesis
@given(at=st.integers(0, len(REQUEST)), put=st.binary(max_size=4), left_out=st.integers(0, 4))
def test_what_is_found_in_a_damaged_head_the_parser_finds_too(at: int, put: bytes, left_out: int) -> None:
    content = REQUEST[:at] + put + REQUEST[at + left_out :]
    found = KnownHeads(read_request).find(content, 0)
    if found is None:
        return
    head, start = found
    ended = Ended()
    parser = httptools.HttpRequestParser(ended)
    parser.feed_data(content[:start])
    assert (ended.heads, ended.messages) == (1, 0 if head.length else 1)
    if head.length:
        parser.feed_data(b"x" * (head.length - 1))
        assert ended.messages == 0
        parser.feed_data(b"x")
    assert ended.messages == 1
