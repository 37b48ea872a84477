"""The Software Loading Manager's journal: what one part writes, another does not undo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import Download, UpdateAvailable
from sota.boundaries.values import PackageId
from sota.kit.runtime.clock import new_id
from sota.slm.entry import State
from sota.slm.journal import Journal
from tests.support.identities import EPOCH, SHA256

pytestmark = pytest.mark.anyio


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path)
    await journal.database.open()
    download = Download(download_index=1, package=PackageId(name="ivi", version="2.0.0"), size=10, sha256=SHA256)
    await journal.accept(
        UpdateAvailable(
            update_id=str(new_id()), epoch=EPOCH, downloads=[download], description="", request_confirmation=False
        )
    )
    yield journal
    await journal.database.close()


async def state_of(journal: Journal) -> State:
    entry = await journal.download(1)
    assert entry is not None
    return entry.state


async def test_an_offered_download_is_wanted(journal: Journal) -> None:
    await journal.want(1)

    assert await state_of(journal) is State.WANTED


async def test_a_download_that_began_to_arrive_before_it_was_asked_for_goes_on_arriving(journal: Journal) -> None:
    await journal.move(1, State.RECEIVING)

    await journal.want(1)

    assert await state_of(journal) is State.RECEIVING
