"""Sync a whole file system with one call (Linux ``syncfs``), for a process that writes thousands of files.

A sync for each file costs 75 µs of processor time and interrupts Python twice. One call serves all files that wait. It
also waits for what other programs have written.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


class FileSystemSync:
    """The file system of a folder. After one failed write it fails every call, until the process ends."""

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._failed = 0

    @staticmethod
    def is_possible() -> bool:
        """Whether this system has such a call."""
        return hasattr(ctypes.CDLL(None), "syncfs")

    def __call__(self) -> None:
        """Make all earlier writes durable.

        Raises:
            OSError: the disk failed; some writes may not be durable.
        """
        if not self._failed and self._library.syncfs(self._descriptor) != 0:
            self._failed = ctypes.get_errno()
        if self._failed:
            raise OSError(self._failed, os.strerror(self._failed))

    def close(self) -> None:
        """Close the file system's descriptor."""
        os.close(self._descriptor)
