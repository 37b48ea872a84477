"""Reports the installed software to Core: when Core asks, and when it was changed locally (DEV-28 to -30).

The Software Loading Manager knows what is installed. It is asked regularly. A difference from the last time is a local
change, unless an update of ours was done meanwhile. A tool that knows earlier (a workshop's, an adapter to D-Bus) may
report a change: ``POST /v1/changes``.

Rules kept here:

* what Core must learn is on disk before it is sent, and is sent until Core confirms it: ``reported`` with the number of
  the message;
* a message contains everything that is installed and every unconfirmed change, so the next one replaces a lost one.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from sota.boundaries.b7_core_rvi.messages import InstalledSoftware, LocalChange
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.values import InstalledPackage, OutcomeReport
from sota.client.retry_tasks import RetryPolicy, RetryTasks
from sota.client.settings import ClientSettings
from sota.client.software_state import add_changes, confirm, is_installing, observe, owe, owed
from sota.client.state import ClientState
from sota.kit.errors import Refused, SotaError
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier

TASK = "software"
FIRST_LOOK_S = 60.0
LOST_RETRY_S = 10.0
ATTEMPTS = 10
CANNOT_TELL = OutcomeReport(status=409, message="Get All Packages failed")


class Software:
    """Keeps Core's record of this vehicle's software correct."""

    def __init__(self, settings: ClientSettings, state: ClientState, edge: SotaClientEdge, slm: SlmClient) -> None:
        self._vin, self._every_s = settings.vin, settings.software_check_s
        self._database, self._edge, self._slm = state.database, edge, slm
        self._retries = RetryTasks()
        self._lost = Notifier()
        self._policy = RetryPolicy(settings.retry_s, settings.retry_max_s, ATTEMPTS)
        self._log = get_logger(program="client")

    async def run(self) -> None:
        """Check regularly for changes, until cancelled."""
        if await self._database.read(owed) is not None:
            self._tell()
        pause = min(FIRST_LOOK_S, self._every_s)
        while True:
            heard = self._lost.count
            try:
                if await self._database.begun_again():
                    await self.tell()
                    await self._database.settle()
                await self._lost.wait(heard, pause)
                if self._lost.count == heard:
                    pause = self._every_s
                    await self.look()
            except SotaError as error:
                self._log.info("software_not_checked", detail=error.detail)
                await asyncio.sleep(min(LOST_RETRY_S, self._every_s))

    def start_over(self) -> None:
        """Report everything again: the state was damaged, and pending reports are lost."""
        self._lost.notify()

    async def close(self) -> None:
        """Stop; pending reports are on disk."""
        await self._retries.close()

    async def on_connected(self) -> None:
        """Send pending reports, since Core can be reached."""
        self._retries.retry_now()
        if await self._database.read(owed) is not None:
            self._tell()

    async def tell(self) -> None:
        """Report everything until Core confirms it: Core's record may be of an earlier life of the vehicle."""
        await self._database.transact(owe)
        self._tell()

    async def look(self) -> None:
        """Compare what is installed with the last time, and report differences.

        Raises:
            Unavailable: the Software Loading Manager does not answer.
        """
        if await self._database.read(is_installing):
            return
        now = datetime.now(UTC)
        software = await self._slm.packages()
        if await self._database.transact(lambda tx: observe(tx, software.packages, now)):
            self._log.info("software_changed", packages=len(software.packages))
            self._tell()

    async def take_changes(self, changes: list[LocalChange]) -> None:
        """Store local changes that a tool reports, and report them to Core."""
        await self._database.transact(lambda tx: add_changes(tx, changes))
        self._tell()

    async def answer(self) -> list[InstalledPackage]:
        """Report everything, since Core asks; returns the packages.

        Raises:
            Refused: ``failed``: the vehicle cannot know now. Core gets that answer, too.
        """
        try:
            software = await self._slm.packages()
        except SotaError as error:
            self._retries.start(f"{TASK}:failed", self._tell_failure, RetryPolicy(1.0, 1.0, 1))
            raise Refused("failed", error.detail) from None
        await self._database.transact(owe)
        try:
            await self._send(software)
        except SotaError as error:
            raise Refused("failed", error.detail) from None
        finally:
            self._tell()
        return software.packages

    async def confirmed(self, sequence: int) -> None:
        """Handle Core's confirmation of a message; the newest one contains everything."""
        if await self._database.transact(lambda tx: confirm(tx, sequence)):
            self._retries.stop(TASK)

    def _tell(self) -> None:
        self._retries.start(TASK, self._attempt, self._policy)
        self._retries.retry_now()

    async def _attempt(self) -> bool:
        if await self._database.read(owed) is None:
            return True
        await self._send(await self._slm.packages())
        return False  # only Core's own answer confirms it

    async def _send(self, software: InstalledSoftware) -> None:
        sequence, changes = await self._database.read(owed) or (None, [])
        await self._edge.installed_software(
            InstalledSoftware(
                vin=self._vin,
                packages=software.packages,
                firmware=software.firmware,
                changes=changes,
                sequence=sequence,
            )
        )

    async def _tell_failure(self) -> bool:
        failed = InstalledSoftware(vin=self._vin, packages=[], firmware=[], outcome=CANNOT_TELL)
        await self._edge.installed_software(failed)
        return True
