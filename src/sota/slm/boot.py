"""The vehicle's next boot: how it is detected, and how it is requested if the vehicle has a command for it.

The vehicle has booted when the id of the boot (``/proc/sys/kernel/random/boot_id``, or another configured file) differs
from the recorded one. Until then the new version does not run, even if this program restarts.

The time-out counts only while the vehicle is on (``running_time.py``), because its clock may be changed at any moment.

A boot is requested once, and only while the preconditions of an installation hold: hours may have passed since they
were checked, and a vehicle must not boot while driving. A refused request is repeated.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from sota.kit.runtime.logging import get_logger
from sota.slm.installers import InstallerFailed, ask
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import TIMED_OUT, StepResult

POLL_S = 0.5
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


async def always_allowed() -> str:
    """Allow every boot."""
    return ""


class Boot:
    """Waits for boots; the command ``reboot`` requests one, if there is a command.

    ``running`` counts the seconds that the vehicle was on. ``why_not`` returns what forbids a boot now, empty if
    nothing does; it is called every ``precondition_retry_s``.
    """

    def __init__(
        self, settings: SlmSettings, running: RunningTime, why_not: Callable[[], Awaitable[str]] = always_allowed
    ) -> None:
        self._settings, self._running, self._why_not = settings, running, why_not
        self._log = get_logger(program="slm")

    def note(self) -> str:
        """Return what must be recorded before waiting for a boot.

        Raises:
            InstallerFailed: the id of this boot cannot be read.
        """
        return f"{self._id()} {self._running.ran:.0f}"

    async def wait(self, note: str) -> StepResult:
        """Wait for a boot since ``note`` was made, or for the time-out."""
        before, _, begun = note.rpartition(" ")
        timeout_s = self._settings.boot_timeout_s
        ask_at, why_not = time.monotonic(), ""
        while True:
            if self._id() != before:
                return StepResult(0, "the vehicle has booted")
            if self._running.ran - float(begun) > timeout_s:
                detail = f"; no boot was requested: {why_not}" if why_not else ""
                return StepResult(TIMED_OUT, f"the vehicle did not boot within {timeout_s:g} s{detail}")
            if self._settings.reboot and time.monotonic() >= ask_at:
                why_not = await self._request()
                ask_at = time.monotonic() + self._settings.precondition_retry_s if why_not else math.inf
            await self._running.keep()
            await asyncio.sleep(POLL_S)

    async def _request(self) -> str:
        """Request a boot unless something forbids it; return why there will be none."""
        why_not = await self._why_not()
        if why_not:
            self._log.info("boot_not_requested", detail=why_not)
            return why_not
        try:
            code, _, errors = await ask(*self._settings.reboot, environment=ENVIRONMENT)
        except InstallerFailed as error:
            code, errors = 1, error.detail
        if code == 0:
            return ""
        self._log.error("reboot_command_failed", exit_code=code, detail=errors[:500])
        return f"{self._settings.reboot[0]} exited with {code}: {errors[:200]}"

    def _id(self) -> str:
        file = self._settings.boot_id_file
        try:
            found = file.read_text().strip()
        except OSError as error:
            raise InstallerFailed(f"The id of this boot cannot be read: {file}: {error.strerror}.") from None
        if not found:
            raise InstallerFailed(f"The id of this boot cannot be read: {file} is empty.")
        return found
