"""The output of a step: a file that the step writes itself and that this module bounds and reads.

The step appends to it, so it can be truncated while the step runs. Of an output over ``FILE_LIMIT`` the beginning and
the end are kept: the beginning shows what was done, the end why it failed.

A daemon that a step leaves behind may keep the file open as long as it lives. Such a file is not removed, because the
daemon would fill the disk with a file that has no name. It is set aside and truncated regularly.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from pathlib import Path

FILE_LIMIT = 8 << 20
KEPT = 64 << 10
"""Bytes kept of the beginning and of the end when the file is truncated: more than a report has."""
LEFT = "left"


class StepOutput:
    """The output of the step ``key``, in ``folder``."""

    def __init__(self, folder: Path, key: str) -> None:
        self.file = folder / f"{key}.out"
        self._beginning = folder / f"{key}.beginning"
        self._end = folder / f"{key}.end"

    def bound(self) -> None:
        """Truncate the file if it is too large."""
        with contextlib.suppress(OSError):
            if self.file.stat().st_size <= FILE_LIMIT:
                return
            if not self._beginning.exists():
                self._beginning.write_bytes(_first(self.file, KEPT))
            self._end.write_bytes(_last(self.file, KEPT))
            os.truncate(self.file, 0)

    def read(self, limit: int) -> str:
        """Return the output as text: all of it, or its beginning and its end, ``limit`` bytes in total."""
        try:
            size = self.file.stat().st_size
            is_cut = self._beginning.exists()
            if not is_cut and size <= limit:
                return printable(self.file.read_bytes())
            beginning = _first(self._beginning if is_cut else self.file, limit // 4)
            end = _last(self.file, limit - limit // 4)
            if is_cut and len(end) < limit - limit // 4:
                end = (self._end.read_bytes() + end)[-(limit - limit // 4) :]
        except OSError:
            return ""
        return f"{printable(beginning)}\n[…]\n{printable(end)}"

    def remove(self) -> None:
        """Remove the files, or set aside one that a process still has open."""
        for kept in (self._beginning, self._end):
            kept.unlink(missing_ok=True)
        if self.file.exists() and is_held(self.file):
            self.file.rename(self.file.with_name(f"{self.file.name}.{self.file.stat().st_ino}.{LEFT}"))
        self.file.unlink(missing_ok=True)


def tend_left(folder: Path) -> bool:
    """Truncate the outputs that were set aside, and remove closed ones; report whether some remain."""
    remaining = False
    for file in folder.glob(f"*.{LEFT}"):
        with contextlib.suppress(OSError):
            if not is_held(file):
                file.unlink()
                continue
            remaining = True
            if file.stat().st_size > 0:
                os.truncate(file, 0)
    return remaining


def is_held(file: Path) -> bool:
    """Report whether a process has the file open: otherwise the kernel grants a write lease."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # opening it now must not kill this program by SIGIO
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return True
    except OSError:  # a file system without leases
        return False
    finally:
        os.close(descriptor)
    return False


def printable(content: bytes) -> str:
    """Return an installer's output as text, without control characters other than line feed and tab."""
    text = content.decode(errors="replace")
    return "".join(character for character in text if character.isprintable() or character in "\n\t").strip()


def _first(file: Path, size: int) -> bytes:
    with file.open("rb") as content:
        return content.read(size)


def _last(file: Path, size: int) -> bytes:
    with file.open("rb") as content:
        content.seek(max(0, content.seek(0, os.SEEK_END) - size))
        return content.read(size)
