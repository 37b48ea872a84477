"""The vehicle's next boot: how it is known to have happened, and how it is asked for where that is ours to do.

A boot has happened when the id of the boot (``/proc/sys/kernel/random/boot_id``, or another file that the vehicle
names) is not the one that was written down before. Until then what was installed does not run, whoever restarts us.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from sota.kit.logging import get_logger
from sota.slm.installers import InstallerFailed, ask
from sota.slm.runner import Ended

POLL_S = 0.5
TIMED_OUT = 124
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Boot:
    """Waits for boots; ``command`` asks for one, where it is given."""

    def __init__(self, id_file: Path, command: Sequence[str], timeout_s: float) -> None:
        self._id_file = id_file
        self._command = command
        self._timeout_s = timeout_s
        self._log = get_logger(program="slm")

    def note(self) -> str:
        """Give what must be written down before a boot is waited for.

        Raises:
            InstallerFailed: the id of this boot cannot be read.
        """
        return f"{self._id()} {time.time():.0f}"

    async def wait(self, note: str) -> Ended:
        """Wait until there was a boot since ``note`` was written, or for too long."""
        before, _, begun = note.rpartition(" ")
        asked = False
        while True:
            if self._id() != before:
                return Ended(0, "the vehicle has booted")
            if time.time() - float(begun) > self._timeout_s:
                return Ended(TIMED_OUT, f"the vehicle did not boot within {self._timeout_s:g} s")
            if self._command and not asked:
                asked = True
                await self._ask_for_it()
            await asyncio.sleep(POLL_S)

    async def _ask_for_it(self) -> None:
        try:
            code, _, errors = await ask(*self._command, environment=ENVIRONMENT)
        except InstallerFailed as error:
            code, errors = 1, error.detail
        if code != 0:
            self._log.error("reboot_refused", exit_code=code, detail=errors[:500])

    def _id(self) -> str:
        try:
            found = self._id_file.read_text().strip()
        except OSError as error:
            raise InstallerFailed(f"The id of this boot cannot be read: {self._id_file}: {error.strerror}.") from None
        if not found:
            raise InstallerFailed(f"The id of this boot cannot be read: {self._id_file} is empty.")
        return found
