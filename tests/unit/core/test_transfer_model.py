"""Which block is sent next after any acknowledgement, loss or delay."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from sota.core.transfers.model import Download, DownloadState, block_count
from sota.core.transfers.sending.model import Phase, Transfer
from sota.kit.ranges import Ranges
from sota.kit.runtime.clock import new_id

BLOCK = 1024
TIMEOUT_S = 30.0

DOWNLOAD = Download(
    vin="WVW00000000000001",
    download_index=1,
    update_id=new_id(),
    request_id=new_id(),
    package=("ivi", "2.1.0"),
    size=10 * BLOCK,
    block_size=BLOCK,
    received=Ranges(),
    state=DownloadState.TRANSFERRING,
    update_status="in_flight",
    command="install",
    uri="ab/cd",
    sha256="0" * 64,
    sha1="0" * 40,
    installer="deb",
    target=None,
    signature=None,
    epoch="e" * 16,
)


def sending(blocks: int = 10, received: str = "") -> Transfer:
    transfer = Transfer(dataclasses.replace(DOWNLOAD, size=blocks * BLOCK), Ranges.parse(received))
    transfer.enter(Phase.SENDING)
    return transfer


def send_all(transfer: Transfer, window: int, now: float = 1.0) -> list[int]:
    sent = []
    while (index := transfer.next_block(window)) is not None:
        transfer.mark_sent(index, now)
        sent.append(index)
    return sent


def test_number_of_blocks_covers_the_file() -> None:
    assert [block_count(size, 1024) for size in (0, 1, 1024, 1025)] == [0, 1, 1, 2]


def test_nothing_is_sent_before_the_vehicle_has_answered_to_start() -> None:
    assert Transfer(DOWNLOAD, Ranges()).next_block(8) is None


def test_lowest_missing_blocks_fill_the_window() -> None:
    assert send_all(sending(received="1,3-4"), window=3) == [2, 5, 6]


def test_window_of_one_sends_one_block_after_the_other() -> None:
    transfer = sending()
    assert send_all(transfer, window=1) == [1]
    transfer.acknowledged(Ranges.parse("1"))
    assert send_all(transfer, window=1) == [2]


def test_time_of_a_block_does_not_run_while_those_before_it_are_acknowledged() -> None:
    transfer = sending()
    send_all(transfer, window=3, now=1.0)
    transfer.acknowledged(Ranges.parse("1"), now=25.0)
    assert transfer.overdue(1.0 + TIMEOUT_S, TIMEOUT_S) == []
    assert transfer.overdue(25.0 + TIMEOUT_S, TIMEOUT_S) == [2, 3]


def test_time_of_a_block_runs_on_when_a_later_one_is_acknowledged() -> None:
    transfer = sending()
    send_all(transfer, window=1, now=1.0)
    assert transfer.next_block(2) == 2
    transfer.mark_sent(2, 5.0)
    transfer.acknowledged(Ranges.parse("2"), now=25.0)
    assert transfer.overdue(1.0 + TIMEOUT_S, TIMEOUT_S) == [1]


def test_overdue_block_is_sent_again_before_others() -> None:
    transfer = sending()
    send_all(transfer, window=2, now=1.0)
    transfer.acknowledged(Ranges.parse("2"))
    assert transfer.overdue(1.0 + TIMEOUT_S - 1, TIMEOUT_S) == []
    assert transfer.overdue(1.0 + TIMEOUT_S, TIMEOUT_S) == [1]
    assert send_all(transfer, window=2, now=40.0) == [1, 3]


def test_block_is_given_up_after_its_attempts() -> None:
    transfer = sending(blocks=1)
    for attempt in range(1, 6):
        assert not transfer.is_exhausted(5)
        assert send_all(transfer, window=8, now=attempt * 100.0) == [1]
        transfer.overdue(attempt * 100.0 + TIMEOUT_S, TIMEOUT_S)
    assert transfer.is_exhausted(5)


def test_block_that_the_node_did_not_take_was_no_attempt() -> None:
    transfer = sending(blocks=1)
    for _ in range(20):
        assert send_all(transfer, window=1) == [1]
        transfer.take_back(1)
    assert not transfer.is_exhausted(5)


def test_start_without_an_answer_is_given_up_after_its_attempts() -> None:
    transfer = Transfer(DOWNLOAD, Ranges())
    for attempt in range(5):
        assert not transfer.is_exhausted(5)
        transfer.step.at, transfer.step.number = attempt * 100.0 + 1, attempt + 1
        transfer.overdue(attempt * 100.0 + 1 + TIMEOUT_S, TIMEOUT_S)
    assert transfer.is_exhausted(5)


def test_vehicle_that_is_away_is_sent_nothing() -> None:
    transfer = sending()
    transfer.paused = True
    assert transfer.next_block(8) is None
    transfer.resume()
    assert (transfer.phase, transfer.paused) == (Phase.STARTING, False)


def test_vehicles_word_at_the_end_counts() -> None:
    transfer = sending(received="1-10")
    assert transfer.is_complete
    transfer.enter(Phase.FINISHING)
    transfer.correct(Ranges.parse("1-4,6-10"))
    assert not transfer.is_complete
    assert send_all(transfer, window=8) == [5]


def test_vehicle_that_never_gets_whole_is_given_up() -> None:
    transfer = sending(received="1-10")
    for _ in range(5):
        assert not transfer.is_exhausted(5)
        transfer.correct(Ranges.parse("1-9"))
    assert transfer.is_exhausted(5)


@given(
    blocks=st.integers(1, 60),
    window=st.integers(1, 16),
    events=st.lists(st.tuples(st.sampled_from(["ack", "lose", "late", "pause"]), st.integers(1, 60)), max_size=80),
)
def test_no_acknowledged_block_is_sent_again_and_every_block_arrives(
    blocks: int, window: int, events: list[tuple[str, int]]
) -> None:
    transfer = sending(blocks)
    now = 1.0
    on_the_way: set[int] = set()
    for event, number in events:
        now += 1.0
        sent = send_all(transfer, window, now)
        assert not any(index in transfer.received for index in sent)
        assert sent == sorted(sent)
        on_the_way.update(sent)
        assert len([attempt for attempt in transfer.sent.values() if attempt.at]) <= window
        if event == "ack" and on_the_way:
            acknowledged = min(on_the_way, key=lambda index: abs(index - number))
            on_the_way.discard(acknowledged)
            transfer.acknowledged(Ranges([acknowledged]))
        elif event == "lose":
            on_the_way.discard(number)
        elif event == "late":
            now += TIMEOUT_S
            transfer.overdue(now, TIMEOUT_S)
        else:
            transfer.paused = True
            assert transfer.next_block(window) is None
            transfer.resume()
            transfer.enter(Phase.SENDING)
    while not transfer.is_complete:  # in the end the network holds
        now += TIMEOUT_S
        transfer.overdue(now, TIMEOUT_S)
        for index in send_all(transfer, window, now):
            assert index not in transfer.received
            transfer.acknowledged(Ranges([index]))
    assert transfer.received == Ranges.up_to(blocks)
