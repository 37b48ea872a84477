"""A fair queue: thousands of transfers side by side, each of which sends one message and goes to the end.

So bandwidth is shared evenly whatever the sizes of the files, and vehicles that get the same file stay close to one
another, which makes the cache of blocks effective (``blocks.py``). A transfer over one of its rate limits leaves the
queue for as long as it must.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from sota.core.transfers.sending.limits import RateLimiter
from sota.core.transfers.sending.model import Transfer
from sota.kit.runtime.logging import get_logger

WORKERS = 32
LONGEST_PAUSE_S = 1.0


class FairQueue:
    """The queue of transfers that may have something to send; :meth:`work` runs :data:`WORKERS` times side by side.

    ``send`` sends the next message of a transfer and returns whether there was one.
    """

    def __init__(self, rates: RateLimiter, send: Callable[[Transfer], Awaitable[bool]]) -> None:
        self._rates, self._send = rates, send
        self._queue: asyncio.Queue[Transfer] = asyncio.Queue()

    def add(self, transfer: Transfer) -> None:
        """Put a transfer at the end; one that is queued already keeps its place."""
        if not transfer.is_queued:
            transfer.is_queued = True
            self._queue.put_nowait(transfer)

    async def work(self) -> None:
        """Send until cancelled."""
        while True:
            transfer = await self._queue.get()
            download = transfer.download
            pause_s = self._rates.pause_s(download.vin, download.request_id, time.monotonic())
            if pause_s:
                loop = asyncio.get_running_loop()
                loop.call_later(min(pause_s, LONGEST_PAUSE_S), self._queue.put_nowait, transfer)
                continue
            was_sent = False
            try:
                was_sent = await self._send(transfer)
            except Exception as error:  # noqa: BLE001 - one transfer must not hold up all others: its time-out ends it
                get_logger(program="core").error("transfer_step_failed", exc_info=error)
            finally:
                transfer.is_queued = False
                if was_sent:
                    self.add(transfer)
