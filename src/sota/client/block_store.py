"""The folder of blocks: one file for each download, named by its index and the start of its SHA-256."""

from __future__ import annotations

from collections.abc import Set
from functools import partial
from pathlib import Path

from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.kit.files.block_file import StorageFull
from sota.kit.files.disk import Disk
from sota.kit.files.durable import private_folder


class BlockStore:
    """The files of blocks, and the space that they may take."""

    def __init__(self, folder: Path, quota_bytes: int, disk: Disk) -> None:
        self._folder, self._disk = folder, disk
        self._quota_bytes = quota_bytes

    def path(self, start: StartDownload) -> Path:
        """Return the file of a download's blocks."""
        return self._folder / f"{start.download_index}-{start.sha256[:16]}.blocks"

    async def remove(self, start: StartDownload | None) -> None:
        """Remove the file of a download's blocks; a download that was not started has none."""
        if start is not None:
            await self._disk.do(partial(self.path(start).unlink, missing_ok=True))

    def clear_all_but(self, indexes: Set[int]) -> None:
        """Create the folder, and remove files of other downloads: a loss of power may have left them."""
        for path in private_folder(self._folder).iterdir():
            if path.name.partition("-")[0] not in {str(index) for index in indexes}:
                path.unlink()

    def check_room(self, start: StartDownload) -> None:
        """Check that a download fits into the quota.

        Raises:
            StorageFull: it does not fit.
        """
        others = (path for path in self._folder.iterdir() if not path.name.startswith(f"{start.download_index}-"))
        taken = sum(path.stat().st_size for path in others)
        if taken + start.size > self._quota_bytes:
            raise StorageFull(f"{start.size} bytes do not fit beside {taken}: the quota is {self._quota_bytes}.")
