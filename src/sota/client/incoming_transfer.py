"""One download while its blocks arrive: stores them, acknowledges them to Core, and notices when no more arrive.

An acknowledgement names every block on disk, so a lost one is replaced by the next. Blocks that arrive while one is
being sent are acknowledged together in the next.
"""

from __future__ import annotations

import asyncio

from sota.boundaries.b7_core_rvi.messages import Acknowledgement, StartDownload
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.values import OutcomeReport
from sota.client.settings import ClientSettings
from sota.kit.errors import SotaError
from sota.kit.files.block_file import BlockWriter
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier

RANGES_LIMIT = 65_536
ACK_PAUSE_S = 1.0


class IncomingTransfer:
    """The blocks of one download, as Core's last ``start`` describes it, in the vehicle's ``epoch``."""

    def __init__(
        self, start: StartDownload, epoch: str, writer: BlockWriter, edge: SotaClientEdge, settings: ClientSettings
    ) -> None:
        self.start, self.epoch = start, epoch
        self.identity = start.identity
        self.file = writer.file
        self.writer, self._edge, self._settings = writer, edge, settings
        self._notifier = Notifier()
        self._last_block_at = asyncio.get_running_loop().time()
        self._silences = 0
        self._log = get_logger(program="client")
        self._tasks = [
            asyncio.create_task(self._acknowledge(), name=f"acknowledge:{start.download_index}"),
            asyncio.create_task(self._resume(), name=f"resume:{start.download_index}"),
        ]

    @property
    def idle_s(self) -> float:
        """The time since the last block."""
        return asyncio.get_running_loop().time() - self._last_block_at

    async def add(self, index: int, content: bytes) -> None:
        """Store and acknowledge a block."""
        self._heard()
        await self.writer.write(index, content)
        self.acknowledge()

    def take(self, index: int, content: bytes) -> bool:
        """Start to store a block, which is acknowledged once it is durable; False if too much waits already.

        Raises:
            Invalid: there is no such block.
        """
        durable = self.writer.take(index, content)
        if durable is None:
            return False
        self._heard()
        durable.add_done_callback(self._stored)
        return True

    def acknowledge(self) -> None:
        """Send an acknowledgement soon."""
        self._notifier.notify()

    def retry_now(self) -> None:
        """Acknowledge again, since Core can be reached again."""
        self._silences = 0
        self.acknowledge()

    async def answer(self, outcome: OutcomeReport) -> None:
        """Send an acknowledgement with the outcome that Core waits for.

        Raises:
            SotaError: the node does not accept it.
        """
        self._heard()
        await self._edge.acknowledge(self._acknowledgement(outcome))

    async def close(self) -> None:
        """Stop, and close the file; stored blocks stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.writer.close()

    def _stored(self, durable: asyncio.Future[None]) -> None:
        error = durable.exception()
        if error is None:
            self.acknowledge()
        else:  # Core sends again what is not acknowledged
            self._log.warning("block_not_stored", download_index=self.start.download_index, detail=str(error))

    def _heard(self) -> None:
        self._last_block_at = asyncio.get_running_loop().time()
        self._silences = 0

    def _acknowledgement(self, outcome: OutcomeReport | None) -> Acknowledgement:
        return Acknowledgement(
            vin=self._settings.vin,
            download_index=self.start.download_index,
            identity=self.identity,
            epoch=self.epoch,
            received=self.file.received.text(RANGES_LIMIT),
            outcome=outcome,
        )

    async def _acknowledge(self) -> None:
        sent = 0
        while True:
            await self._notifier.wait(sent, None)
            heard = self._notifier.count
            try:
                await self._edge.acknowledge(self._acknowledgement(None))
                sent = heard
            except SotaError as error:
                self._log.info("acknowledgement_postponed", detail=error.detail)
                await asyncio.sleep(ACK_PAUSE_S)

    async def _resume(self) -> None:
        """Acknowledge again when no block arrives: Core's message or ours may be lost."""
        resume_s = self._settings.resume_s
        while True:
            pause = resume_s * 2**self._silences
            await asyncio.sleep(max(0.01, pause - self.idle_s) if self._silences == 0 else pause)
            if self.idle_s < resume_s or self._silences >= self._settings.resume_attempts:
                continue
            self._silences += 1
            self._log.info("transfer_resumed", download_index=self.start.download_index, attempt=self._silences)
            self.acknowledge()
