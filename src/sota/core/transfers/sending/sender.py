"""What Core sends of one transfer: its ``start``, its blocks in their order, its ``finish``; and aborts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import msgspec

from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import AbortDownload, EncodedBlock, FinishDownload, StartDownload
from sota.boundaries.edge import Sent
from sota.boundaries.values import Command, Reason, SignatureEnvelope
from sota.core.requests.wire import to_package_id
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import Download, DownloadRef
from sota.core.transfers.sending.blocks import Blocks
from sota.core.transfers.sending.limits import RateLimiter
from sota.core.transfers.sending.model import Phase, Transfer
from sota.kit.errors import SotaError
from sota.kit.runtime.logging import get_logger, is_debugging, short_vin
from sota.kit.sql import damaged_rows as damage


class Sender:
    """Sends the next message of a transfer by way of the node."""

    def __init__(self, node: NodeClient, blocks: Blocks, rates: RateLimiter) -> None:
        self._node, self._blocks, self._rates = node, blocks, rates
        self._log = get_logger(program="core")

    async def send_next(self, transfer: Transfer, window: int) -> bool:
        """Send the next message if there is one to send now; says whether there was.

        ``window`` is the most blocks on the way; the transfer's own window says how many its link needs.

        Raises:
            SotaError: the node did not take it, or the block cannot be read; this was no attempt.
        """
        if transfer.phase is Phase.SENDING and transfer.is_complete:
            transfer.enter(Phase.FINISHING)
        if transfer.phase is Phase.SENDING:
            return await self._send_block(transfer, min(window, transfer.window.blocks))
        return await self._send_step(transfer)

    def send_at_once(self, transfer: Transfer, window: int, sent: Sent) -> bool | None:
        """Send the next block if that takes no waiting: ``sent`` is called later, with what went wrong.

        Gives False where there is nothing to send now, None where :meth:`send_next` must do it.
        """
        if transfer.phase is not Phase.SENDING:
            return False if transfer.paused or transfer.step.at else None
        if transfer.is_complete:
            return None
        index = transfer.next_block(min(window, transfer.window.blocks))
        if index is None:
            return False
        download = transfer.download
        content = self._blocks.kept(download, index)
        if content is None:
            return None

        def done(error: SotaError | None) -> None:
            if error is not None:
                transfer.take_back(index)
            sent(error)

        block = EncodedBlock(download.download_index, transfer.identity_json, index, content)
        if not self._node.send_block_at_once(download.vin, block, done):
            return None
        self._note_sent(transfer, index)
        return True

    async def abort(self, downloads: Sequence[DownloadRef], reason: Reason | None) -> None:
        """Tell vehicles to drop downloads. One that does not hear it is told when it asks for them."""
        for one in downloads:
            abort = AbortDownload(download_index=one.download_index, identity=one.identity, reason=reason)
            try:
                await self._node.abort(one.vin, abort)
            except TRANSIENT as error:
                self._log.warning("abort_not_sent", vin=short_vin(one.vin), reason=str(error))

    async def _send_step(self, transfer: Transfer) -> bool:
        step, download = transfer.step, transfer.download
        if transfer.paused or step.at:
            return False
        step.at, step.number = time.monotonic(), step.number + 1
        try:
            if transfer.phase is Phase.STARTING:
                await self._node.start_download(download.vin, to_start(download))
            else:
                finish = FinishDownload(download_index=download.download_index, identity=transfer.identity)
                await self._node.finish(download.vin, finish)
        except TRANSIENT:
            step.at, step.number = 0.0, step.number - 1
            raise
        return True

    async def _send_block(self, transfer: Transfer, window: int) -> bool:
        index = transfer.next_block(window)
        if index is None:
            return False
        download = transfer.download
        transfer.mark_sent(index, time.monotonic())
        try:
            content = await self._blocks.encoded(download, index)
            if not transfer.may_send(index):  # acknowledged while we read it
                return True
            self._spend(download, index)
            block = EncodedBlock(download.download_index, transfer.identity_json, index, content)
            await self._node.send_block(download.vin, block)
        except TRANSIENT:
            transfer.take_back(index)
            raise
        return True

    def _note_sent(self, transfer: Transfer, index: int) -> None:
        now = time.monotonic()
        transfer.mark_sent(index, now)
        self._spend(transfer.download, index)

    def _spend(self, download: Download, index: int) -> None:
        if is_debugging():
            self._log.debug("block_sent", vin=download.vin, download_index=download.download_index, index=index)
        size = min(download.block_size, download.size - (index - 1) * download.block_size)
        self._rates.spend(download.vin, download.request_id, size, time.monotonic())


def to_start(download: Download) -> StartDownload:
    """Write the ``start`` that opens a download (B7-4)."""
    signature = None
    if download.signature:
        decode = partial(msgspec.json.decode, download.signature, type=SignatureEnvelope)
        signature = damage.read("package", download.package_text, decode)
    return StartDownload(
        download_index=download.download_index,
        update_id=str(download.update_id),
        epoch=download.epoch,
        package=to_package_id(download.package),
        size=download.size,
        block_size=download.block_size,
        block_count=download.block_count,
        sha256=download.sha256,
        sha1=download.sha1,
        installer=download.installer,
        command=Command(download.command),
        target=download.target,
        signature=signature,
        allow_downgrade=download.allow_downgrade,
    )
