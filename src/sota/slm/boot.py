"""The vehicle's next boot: how it is known to have happened, and how it is asked for where that is ours to do.

A boot has happened when the id of the boot (``/proc/sys/kernel/random/boot_id``, or another file that the vehicle
names) is not the one that was written down before. Until then what was installed does not run, whoever restarts us.

How long it is waited for is counted in time that the vehicle was on (``running_time.py``): its clock may be set at any
moment.

It is asked for once, and only while the vehicle is as it must be for an installation: hours may have gone by since that
was looked at, and nobody boots under way. A refused one is asked for again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sota.kit.runtime.logging import get_logger
from sota.slm.installers import InstallerFailed, ask
from sota.slm.running_time import RunningTime
from sota.slm.step_runner import StepResult

POLL_S = 0.5
TIMED_OUT = 124
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


async def nothing_against_it() -> str:
    """Have nothing against a boot."""
    return ""


class Boot:
    """Waits for boots; ``command`` asks for one, where it is given.

    ``running`` counts the seconds that the vehicle was on.
    ``why_not`` says what speaks against a boot now, with nothing where nothing does; it is asked every ``retry_s``.
    """

    def __init__(
        self,
        id_file: Path,
        command: Sequence[str],
        timeout_s: float,
        *,
        running: RunningTime,
        why_not: Callable[[], Awaitable[str]] = nothing_against_it,
        retry_s: float = 30.0,
    ) -> None:
        self._id_file = id_file
        self._command = command
        self._timeout_s = timeout_s
        self._running = running
        self._why_not = why_not
        self._retry_s = retry_s
        self._log = get_logger(program="slm")

    def note(self) -> str:
        """Give what must be written down before a boot is waited for.

        Raises:
            InstallerFailed: the id of this boot cannot be read.
        """
        return f"{self._id()} {self._running.ran:.0f}"

    async def wait(self, note: str) -> StepResult:
        """Wait until there was a boot since ``note`` was written, or for too long."""
        before, _, begun = note.rpartition(" ")
        ask_at, why_not = time.monotonic(), ""
        while True:
            if self._id() != before:
                return StepResult(0, "the vehicle has booted")
            if self._running.ran - float(begun) > self._timeout_s:
                told = f"; it was not asked to: {why_not}" if why_not else ""
                return StepResult(TIMED_OUT, f"the vehicle did not boot within {self._timeout_s:g} s{told}")
            if self._command and time.monotonic() >= ask_at:
                why_not = await self._ask_for_it()
                ask_at = time.monotonic() + self._retry_s if why_not else math.inf
            await self._running.keep()
            await asyncio.sleep(POLL_S)

    async def _ask_for_it(self) -> str:
        """Ask for a boot unless something speaks against it; gives why there will be none."""
        why_not = await self._why_not()
        if why_not:
            self._log.info("boot_not_asked_for", detail=why_not)
            return why_not
        try:
            code, _, errors = await ask(*self._command, environment=ENVIRONMENT)
        except InstallerFailed as error:
            code, errors = 1, error.detail
        if code == 0:
            return ""
        self._log.error("reboot_refused", exit_code=code, detail=errors[:500])
        return f"{self._command[0]} ended with {code}: {errors[:200]}"

    def _id(self) -> str:
        try:
            found = self._id_file.read_text().strip()
        except OSError as error:
            raise InstallerFailed(f"The id of this boot cannot be read: {self._id_file}: {error.strerror}.") from None
        if not found:
            raise InstallerFailed(f"The id of this boot cannot be read: {self._id_file} is empty.")
        return found
