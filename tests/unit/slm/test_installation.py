"""The installation of one download: what happens to it meanwhile counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import Download, StartDownload, UpdateAvailable
from sota.boundaries.values import Command, PackageId
from sota.kit.runtime.clock import new_id
from sota.slm.boot import Boot
from sota.slm.entry import DownloadEntry, State
from sota.slm.installation import Installation
from sota.slm.installers import InstallerFailed
from sota.slm.installers.archive import ArchiveInstaller, Options
from sota.slm.journal import Journal
from sota.slm.preconditions import Preconditions
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import StepRunner
from tests.support.identities import EPOCH, SHA256

pytestmark = pytest.mark.anyio

PACKAGE = PackageId(name="maps", version="1.0.0")


class CancelledDuringInspection(ArchiveInstaller):
    """An installer that fails while the driver cancels the download."""

    installation: Installation
    entry: DownloadEntry

    async def inspect(self, file: Path, name: str, version: str) -> None:
        await self.installation.cancel(self.entry)
        raise InstallerFailed("its disk is not there yet")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path)
    await journal.database.open()
    yield journal
    await journal.database.close()


async def ready_download(journal: Journal) -> DownloadEntry:
    download = Download(download_index=1, package=PACKAGE, size=10, sha256=SHA256)
    update = UpdateAvailable(
        update_id=str(new_id()), epoch=EPOCH, downloads=[download], description="", request_confirmation=False
    )
    start = StartDownload(
        download_index=1,
        update_id=update.update_id,
        epoch=EPOCH,
        package=PACKAGE,
        size=10,
        block_size=10,
        block_count=1,
        sha256=SHA256,
        sha1="0" * 40,
        installer="archive",
        command=Command.INSTALL,
    )
    await journal.accept(update)
    await journal.move(1, State.READY, start=start)
    entry = await journal.download(1)
    assert entry is not None
    return entry


async def test_download_cancelled_while_its_installer_is_retried_is_not_installed(
    journal: Journal, tmp_path: Path
) -> None:
    installer = CancelledDuringInspection(tmp_path / "root", Options())
    settings = SlmSettings(vin="WVW00000000000001", data=tmp_path, boot_id_file=tmp_path / "boot_id")
    running = RunningTime(journal.database, tmp_path / "boot_id")
    installer.installation = installation = Installation(
        settings,
        journal,
        [installer],
        StepRunner(tmp_path / "steps", timeout_s=60.0, output_limit=1024),
        Boot(settings, running),
        Preconditions(settings, journal, running),
        pause_s=0.0,
    )
    installation.prepare()
    installer.entry = await ready_download(journal)

    await installation.install(installer.entry, tmp_path / "package")

    ended = await journal.download(1)
    assert ended is not None
    assert ended.state is State.CANCELLED
    assert await journal.steps(1) == ([], None)
