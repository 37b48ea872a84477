"""What the SOTA Client keeps on disk, and for how long."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sota.boundaries.b7_core_rvi.messages import UpdateAvailable
from sota.client import state as module
from sota.client.state import ClientState, DownloadState
from sota.kit.runtime.clock import new_id
from tests.support.identities import EPOCH, SHA256


def update(*indexes: int) -> UpdateAvailable:
    body = {
        "update_id": str(new_id()),
        "downloads": [
            {"download_index": index, "package": {"name": "ivi", "version": "1.0.0"}, "size": 1, "sha256": SHA256}
            for index in indexes
        ],
        "epoch": EPOCH,
        "description": "",
        "request_confirmation": False,
    }
    return msgspec.convert(body, UpdateAvailable)


@pytest.fixture
def state(tmp_path: Path) -> ClientState:
    return ClientState(tmp_path)


async def test_update_is_offered_until_it_is_accepted(state: ClientState) -> None:
    await state.database.open()
    offered = update(1, 2)

    assert (await state.offer(offered)).is_news
    assert (await state.offer(offered)).is_news
    await state.mark_accepted(offered.update_id)
    assert not (await state.offer(offered)).is_news
    assert await state.not_accepted() == []

    more = msgspec.structs.replace(offered, downloads=[*offered.downloads, *update(3).downloads])
    assert (await state.offer(more)).is_news
    assert await state.not_accepted() == [more]
    await state.database.close()


async def test_only_what_is_done_is_forgotten(state: ClientState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    await state.database.open()
    for index in range(1, 6):
        await state.offer(update(index))
    for index in (1, 3, 5):
        await state.move(index, DownloadState.DONE)

    await state.forget_old()

    assert [index for index in range(1, 6) if await state.download(index)] == [2, 4, 5]
    assert len(await state.not_accepted()) == 3
    await state.database.close()
