"""Turns: thousands of transfers side by side, each sends one block and goes to the end of the row.

So bandwidth is shared evenly whatever the sizes of the files, and vehicles that get the same file stay close to one
another, which is what makes keeping its blocks worth while (``blocks.py``). A transfer over one of its limits leaves
the row for as long as it must.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from sota.core.transfers.limits import Budgets
from sota.core.transfers.model import Transfer

WORKERS = 32
LONGEST_PAUSE_S = 1.0
Send = Callable[[Transfer], Awaitable[bool]]


class Turns:
    """The row, and those who serve it: :meth:`work` runs :data:`WORKERS` times side by side.

    ``send`` sends the next message of a transfer and says whether there was one.
    """

    def __init__(self, budgets: Budgets, send: Send) -> None:
        self._budgets, self._send = budgets, send
        self._row: asyncio.Queue[Transfer] = asyncio.Queue()

    def add(self, transfer: Transfer) -> None:
        """Let a transfer have a turn; one that is in the row already stays where it is."""
        if not transfer.in_row:
            transfer.in_row = True
            self._row.put_nowait(transfer)

    async def work(self) -> None:
        """Serve the row until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            transfer = await self._row.get()
            download = transfer.download
            pause_s = self._budgets.pause_s(download.vin, download.request_id, time.monotonic())
            if pause_s:
                loop.call_later(min(pause_s, LONGEST_PAUSE_S), self._row.put_nowait, transfer)
                continue
            sent = False
            try:
                sent = await self._send(transfer)
            finally:
                transfer.in_row = False
            if sent:
                self.add(transfer)
