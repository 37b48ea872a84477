"""What Core sends of one transfer: its ``start``, its blocks in their order, its ``finish``; and aborts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import msgspec

from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import AbortDownload, EncodedBlock, FinishDownload, StartDownload
from sota.boundaries.values import Command, Reason, SignatureEnvelope, short_vin
from sota.core.requests.wire import to_package_id
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import Download, DownloadRef
from sota.core.transfers.sending.blocks import Blocks
from sota.core.transfers.sending.limits import Limits, RateLimiter, TransferSlots
from sota.core.transfers.sending.model import Phase, Transfer
from sota.kit.runtime.logging import get_logger, is_debugging
from sota.kit.sql import damaged_rows as damage


class Sender:
    """Sends the next message of a transfer by way of the node."""

    def __init__(
        self, node: NodeClient, blocks: Blocks, *, limits: Limits, slots: TransferSlots, rates: RateLimiter
    ) -> None:
        self._node, self._blocks = node, blocks
        self._limits, self._slots, self._rates = limits, slots, rates
        self._log = get_logger(program="core")

    async def send_next(self, transfer: Transfer) -> bool:
        """Send the next message if there is one to send now; return whether one was sent.

        Where the node does not take it, or the block cannot be read, that was no attempt: it is sent again later.
        """
        try:
            if transfer.phase is Phase.SENDING and not transfer.is_complete:
                return await self._send_block(transfer)
            return await self._send_step(transfer)
        except TRANSIENT as error:
            self._log.warning("transfer_waits", vin=short_vin(transfer.download.vin), reason=str(error))
            return False

    async def abort(self, downloads: Sequence[DownloadRef], reason: Reason | None) -> None:
        """Ask vehicles to drop downloads. A vehicle that does not get this message gets it when it asks for them."""
        for one in downloads:
            abort = AbortDownload(download_index=one.download_index, identity=one.identity, reason=reason)
            try:
                await self._node.abort(one.vin, abort)
            except TRANSIENT as error:
                self._log.warning("abort_not_sent", vin=short_vin(one.vin), reason=str(error))

    async def _send_step(self, transfer: Transfer) -> bool:
        if transfer.phase is Phase.SENDING:
            transfer.enter(Phase.FINISHING)
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

    async def _send_block(self, transfer: Transfer) -> bool:
        download = transfer.download
        fair_share = self._limits.window_of(len(self._slots), download.block_size)
        index = transfer.next_block(min(fair_share, transfer.window.blocks))
        if index is None:
            return False
        now = time.monotonic()
        transfer.mark_sent(index, now)
        try:
            content = await self._blocks.encoded(download, index)
            if index in transfer.received:  # acknowledged while it was read
                return True
            self._rates.spend(download.vin, download.request_id, download.bytes_in(index), now)
            if is_debugging():
                self._log.debug("block_sent", vin=download.vin, download_index=download.download_index, index=index)
            block = EncodedBlock(download.download_index, transfer.identity_json, index, content)
            await self._node.send_block(download.vin, block)
        except TRANSIENT:
            transfer.take_back(index)
            raise
        return True


def to_start(download: Download) -> StartDownload:
    """Build the ``start`` that opens a download (B7-4)."""
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
