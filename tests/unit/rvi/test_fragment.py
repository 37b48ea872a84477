"""Messages in pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.rvi.fragment import (
    MAX_OPEN,
    MAX_WAITING,
    SILENCE_S,
    SUSPECT_S,
    FragmentReader,
    FragmentWriter,
    is_refusal,
    wanted_size,
)
from sota.rvi.message import Message
from sota.rvi.splitter import CodecError


def message(parameters: object) -> Message:
    return Message("genivi.org/backend/sota/start", json.dumps(parameters).encode(), 0, 0.0)


FIRST = message({"rvi.max_msg_size": 100})


@given(body=st.binary(min_size=1, max_size=5000), size=st.integers(10, 600))
def test_a_message_arrives_whole(body: bytes, size: int) -> None:
    writer, reader = FragmentWriter(), FragmentReader(10_000)
    piece = writer.start(FIRST, body, size, 0.0)
    whole = None
    while whole is None:
        number, total, offset, content = piece["frg"]
        (answer,), whole = reader.take(number, total, offset, content, 0.0)
        if "frg-get" in answer:
            answer["frg-get"][2] = min(answer["frg-get"][2], size)
            (piece,) = writer.piece(answer["frg-get"], 0.0)
        else:
            writer.finish(answer["frg-end"])
    assert whole == body
    assert writer.under_way(FIRST.service) is None
    assert writer.queued_bytes == 0


def test_the_numbers_are_those_of_a_real_node() -> None:
    writer, reader = FragmentWriter(), FragmentReader(10_000)
    first = writer.start(FIRST, b"x" * 671, 78, 0.0)
    assert first["frg"][:3] == [1, 671, 1]
    answers, _ = reader.take(1, 671, 1, first["frg"][3], 0.0)
    assert answers == [{"frg-get": [1, 79, 593]}]
    (piece,) = writer.piece([1, 79, 78], 0.0)
    assert piece["frg"][:3] == [1, 671, 79]
    assert len(piece["frg"][3]) == 78


def test_an_empty_list_as_size_means_all_the_rest() -> None:
    writer = FragmentWriter()
    writer.start(FIRST, b"x" * 671, 78, 0.0)
    (piece,) = writer.piece([1, 79, []], 0.0)
    assert len(piece["frg"][3]) == 593


def test_later_messages_for_the_service_wait() -> None:
    writer, later = FragmentWriter(), message({})
    writer.start(FIRST, b"x" * 100, 10, 0.0)
    outgoing = writer.under_way(FIRST.service)
    assert outgoing is not None
    writer.hold(outgoing, later)
    assert list(writer.finish([1, 0])) == [later]
    assert writer.queued_bytes == 0


def test_what_has_not_arrived_is_given_back_in_its_order() -> None:
    writer, later = FragmentWriter(), message({})
    writer.start(FIRST, b"x" * 100, 10, 0.0)
    outgoing = writer.under_way(FIRST.service)
    assert outgoing is not None
    writer.hold(outgoing, later)
    assert writer.take_unsent(0.0) == [FIRST, later]
    assert (writer.take_unsent(0.0), writer.queued_bytes) == ([], 0)


@pytest.mark.parametrize(("after_s", "suspect"), [(0.0, True), (SUSPECT_S, True), (SUSPECT_S + 1, False)])
def test_a_message_is_suspect_when_the_connection_ends_soon_after_its_piece(after_s: float, suspect: bool) -> None:
    writer, sent = FragmentWriter(), message({"rvi.max_msg_size": 100})
    writer.start(sent, b"x" * 100, 10, 100.0)
    writer.take_unsent(100.0 + after_s)
    assert sent.suspect is suspect


def test_unknown_numbers_are_passed_over() -> None:
    writer, reader = FragmentWriter(), FragmentReader(1000)
    assert writer.piece([9, 1, 10], 0.0) == []
    assert not writer.finish([9, 0])
    assert not writer.finish("nonsense")
    assert reader.take(9, 100, 50, b"x", 0.0) == ([], None)


@pytest.mark.parametrize(
    ("number", "total", "offset", "piece"),
    [
        (1, 100, 50, b"x"),
        (1, 101, 11, b"x"),
        (1, 100, 11, b""),
        (1, 100, 11, b"x" * 91),
        (2, 0, 1, b"x"),
    ],
)
def test_what_was_not_asked_for_is_refused(number: int, total: int, offset: int, piece: bytes) -> None:
    reader = FragmentReader(1000)
    reader.take(1, 100, 1, b"x" * 10, 0.0)
    with pytest.raises(CodecError):
        reader.take(number, total, offset, piece, 0.0)


def test_messages_that_there_is_no_room_for_are_asked_for_in_their_order() -> None:
    reader = FragmentReader(10_000)
    for number in range(1, MAX_OPEN + 1):
        assert reader.take(number, 100, 1, b"x", 0.0) == ([{"frg-get": [number, 2, 99]}], None)
    for number in (11, 12, 13):
        assert reader.take(number, 9_900 if number == 12 else 50, 1, b"x", 0.0) == ([], None)
    assert reader.take(11, 50, 1, b"x", 0.0) == ([], None), "it waits already"
    assert reader.take(1, 100, 2, b"x" * 99, 0.0)[0] == [{"frg-end": [1, 0]}, {"frg-get": [11, 1, 50]}]
    assert reader.take(11, 50, 1, b"x" * 50, 0.0)[0] == [{"frg-end": [11, 0]}], "12 has no room, and 13 is behind it"
    assert reader.take(2, 100, 2, b"x" * 99, 0.0)[0] == [{"frg-end": [2, 0]}]
    assert reader.take(3, 100, 2, b"x" * 99, 0.0)[0] == [{"frg-end": [3, 0]}, {"frg-get": [12, 1, 9_900]}]
    assert reader.take(14, 100, 1, b"x", 0.0) == ([], None)
    assert reader.give_up(SILENCE_S + 1) == [{"frg-get": [13, 1, 50]}, {"frg-get": [14, 1, 100]}]


def test_what_waits_is_bounded() -> None:
    reader = FragmentReader(10_000)
    for number in range(MAX_OPEN + MAX_WAITING):
        reader.take(number, 100, 1, b"x", 0.0)
    with pytest.raises(CodecError):
        reader.take(-1, 100, 1, b"x", 0.0)


def test_a_message_that_would_never_fit_is_declined() -> None:
    reader = FragmentReader(1000)
    answers, whole = reader.take(1, 1001, 1, b"x", 0.0)
    assert (answers, whole) == ([{"frg-end": [1, 1]}], None)
    assert is_refusal(answers)
    assert not is_refusal([{"frg-end": [1, 0]}, {"frg-get": [2, 1, 5]}])


def test_silence_has_an_end() -> None:
    writer, reader, later = FragmentWriter(), FragmentReader(1000), message({})
    writer.start(FIRST, b"x" * 100, 10, 0.0)
    outgoing = writer.under_way(FIRST.service)
    assert outgoing is not None
    writer.hold(outgoing, later)
    assert [list(waiting) for waiting in writer.give_up(SILENCE_S + 1)] == [[later]]
    reader.take(1, 100, 1, b"x", 0.0)
    reader.give_up(SILENCE_S + 1)
    assert reader.take(1, 100, 2, b"x", 0.0) == ([], None)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"rvi.max_msg_size": 100}, 76),
        ({"rvi.max_msg_size": 5}, 10),
        ({"rvi.max_msg_size": "100"}, None),
        ({"rvi.max_msg_size": -1}, None),
        ([{"rvi.max_msg_size": 100}], None),
        ({"a": "rvi.max_msg_size"}, None),
        ({"a": 1}, None),
    ],
)
def test_pieces_are_made_where_the_sender_asks(parameters: object, expected: int | None) -> None:
    assert wanted_size(message(parameters)) == expected
