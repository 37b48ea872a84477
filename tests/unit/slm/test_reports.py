"""A report fits into one message, however much its steps printed."""

from __future__ import annotations

import msgspec
import pytest

from sota.boundaries.values import MESSAGE_LIMIT
from sota.slm.entry import DownloadEntry, State
from sota.slm.installation import reported_steps
from sota.slm.model import MAX_INTERRUPTIONS, Step, StepRecord
from tests.support.identities import IDENTITY

ENTRY = DownloadEntry(1, IDENTITY, State.INSTALLING, None, None, "1.0.0")
LARGEST = 60_000
"""Of the setting output_bytes."""


@pytest.mark.parametrize("character", ["x", '"', "\ufffd", "\U0001f697"])
def test_report_of_many_interruptions_is_one_message(character: str) -> None:
    history = [StepRecord(Step.REINSTALL, None, character * LARGEST)] * (2 * (MAX_INTERRUPTIONS + 2))

    told = reported_steps(ENTRY, history)

    assert len(msgspec.json.encode(told)) < MESSAGE_LIMIT - (1 << 14)
    assert all(each.result_text.endswith("its database shows what was done") for each in told)


def test_output_of_few_steps_is_told_whole() -> None:
    history = [StepRecord(Step.INSTALL, 1, "x" * LARGEST), StepRecord(Step.RESTORE, 0, "y" * LARGEST)]

    assert [each.result_text for each in reported_steps(ENTRY, history)] == [record.output for record in history]
