"""FairQueue: thousands of transfers side by side, each sends one block and goes to the end of the row.

So bandwidth is shared evenly whatever the sizes of the files, and vehicles that get the same file stay close to one
another, which is what makes keeping its blocks worth while (``blocks.py``). A transfer over one of its limits leaves
the row for as long as it must.

What can be sent without waiting, a block that is at hand over a connection that is idle, is sent in the turn itself.
The rest (a step, a block that must be read, the first message of all) is done by one of :data:`WORKERS` tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from sota.core.transfers.sending.limits import RateLimiter
from sota.core.transfers.sending.model import Transfer
from sota.kit.runtime.logging import get_logger

WORKERS = 32
LONGEST_PAUSE_S = 1.0
Send = Callable[[Transfer], Awaitable[bool]]


class Quick(Protocol):
    """Sends without waiting."""

    @property
    def is_full(self) -> bool:
        """Whether nothing can be sent so for now; :meth:`FairQueue.wake` is called when that ends."""
        ...

    def __call__(self, transfer: Transfer) -> bool | None:
        """Send: True, and ``done`` is called later; False: nothing is to be sent; None: it takes waiting."""
        ...


class Node(Protocol):
    """What is asked of the node's client."""

    @property
    def is_full(self) -> bool:
        """Whether as many calls are under way as may be."""
        ...


class QuickSender:
    """Sends by ``send`` what can be sent without waiting, while the node has room."""

    def __init__(self, node: Node, send: Callable[[Transfer], bool | None]) -> None:
        self._node, self._send = node, send

    @property
    def is_full(self) -> bool:
        """Whether nothing can be sent so for now."""
        return self._node.is_full

    def __call__(self, transfer: Transfer) -> bool | None:
        """Send; see :class:`Quick`."""
        return self._send(transfer)


class FairQueue:
    """The row, and those who serve it: :meth:`work` runs :data:`WORKERS` times side by side.

    ``send`` sends the next message of a transfer and says whether there was one; so does ``quick``, tried before.
    """

    def __init__(self, rates: RateLimiter, send: Send, quick: Quick | None = None) -> None:
        self._rates, self._send, self._quick = rates, send, quick
        self._row: deque[Transfer] = deque()
        self._slow: asyncio.Queue[Transfer] = asyncio.Queue()
        self._is_called = False

    def add(self, transfer: Transfer) -> None:
        """Let a transfer have a turn; one that is in the row already stays where it is."""
        if not transfer.in_row:
            transfer.in_row = True
            self._put(transfer)

    def done(self, transfer: Transfer, *, again: bool) -> None:
        """End a transfer's turn; it goes to the end of the row if it may send ``again``."""
        transfer.in_row = False
        if again:
            self.add(transfer)

    def wake(self) -> None:
        """Serve the row soon."""
        if self._row and not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._serve)

    async def work(self) -> None:
        """Do what takes waiting, until cancelled."""
        while True:
            transfer = await self._slow.get()
            sent = False
            try:
                sent = await self._send(transfer)
            except Exception as error:  # noqa: BLE001 - one transfer must not hold up all others: its time-out ends it
                get_logger(program="core").error("transfer_step_failed", exc_info=error)
            finally:
                self.done(transfer, again=sent)

    def _put(self, transfer: Transfer) -> None:
        self._row.append(transfer)
        self.wake()

    def _serve(self) -> None:
        self._is_called = False
        now, quick = time.monotonic(), self._quick
        for _ in range(len(self._row)):
            if quick is not None and quick.is_full:
                return
            transfer = self._row.popleft()
            download = transfer.download
            pause_s = self._rates.pause_s(download.vin, download.request_id, now)
            if pause_s:
                asyncio.get_running_loop().call_later(min(pause_s, LONGEST_PAUSE_S), self._put, transfer)
                continue
            sent = quick(transfer) if quick is not None else None
            if sent is None:
                self._slow.put_nowait(transfer)
            elif not sent:
                transfer.in_row = False
        self.wake()
