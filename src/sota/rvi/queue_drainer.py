"""Send stored messages, in order, as soon as their service can be reached.

A message to a local service leaves the disk when the service has answered. A message to another of our nodes leaves it
when that node has confirmed it; to a real rvi_core, which confirms nothing, when the connection has stood for a while
afterwards. If the connection breaks before, the messages wait for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from sota.kit.errors import Unavailable
from sota.kit.runtime.logging import get_logger
from sota.rvi import counters
from sota.rvi.connection import PeerConnection
from sota.rvi.delivery import LocalService
from sota.rvi.message import Message
from sota.rvi.message_store import MessageStore
from sota.rvi.service_queue import Answer

WAIT_S = 5.0
PAUSE_S = 0.01
CONFIRMED_AFTER_S = 2.0

Sink = PeerConnection | LocalService


class QueueDrainer:
    """One task for each service that has stored messages and can be reached."""

    def __init__(self, store: MessageStore, find_sink: Callable[[str], Sink | None]) -> None:
        self._store, self._find_sink = store, find_sink
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopped = False

    def start(self, service: str) -> None:
        """Send what waits for this service, if it can be reached."""
        if self._stopped or service in self._running or not self._store.has_waiting(service):
            return
        if self._find_sink(service) is not None:
            self._running[service] = asyncio.create_task(self._run(service), name=f"drain:{service}")

    async def stop(self) -> None:
        """Send no more stored messages."""
        self._stopped = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def confirm(self, connections: Iterable[PeerConnection]) -> None:
        """Remove from the disk what was sent a while ago over connections that are still open."""
        before = asyncio.get_running_loop().time() - CONFIRMED_AFTER_S
        for connection in connections:
            confirmations = connection.confirmations
            if confirmations.unconfirmed and connection.is_flushed:
                confirmations.confirm_sent_before(before)
            if confirmations.confirmed:
                arrived, confirmations.confirmed = confirmations.confirmed, []
                self._store.remove(arrived)

    async def _run(self, service: str) -> None:
        try:
            while (sink := self._find_sink(service)) is not None and self._store.has_waiting(service):
                for message in await self._store.next(service):
                    if not await self._hand_over(sink, message):
                        return  # the node starts again when there is another way
        except Unavailable as error:
            get_logger(program="rvi-node").warning("disk_refused", error=error.detail)
        finally:
            del self._running[service]

    async def _hand_over(self, sink: Sink, message: Message) -> bool:
        if message.is_over:
            counters.MESSAGES["expired"] += 1
            self._store.mark_handed_over(message)  # expired messages are deleted from the disk regularly
            return True
        while not self._offer(sink, message):
            await sink.writable(WAIT_S)
            if not sink.is_open:
                return False
            await asyncio.sleep(PAUSE_S)  # there may be room, but too little for this message
        self._store.mark_handed_over(message)
        return True

    def _offer(self, sink: Sink, message: Message) -> bool:
        number, loop = message.number or 0, asyncio.get_running_loop()
        if isinstance(sink, PeerConnection):
            if not sink.offer(message):
                return False
            counters.MESSAGES["sent"] += 1
            if not sink.confirmations.concerns(message.service):
                sink.confirmations.unconfirmed.append((loop.time(), message.service, number))
            return True
        answer: Answer = loop.create_future()
        answer.add_done_callback(lambda done: self._store.remove([number]) if done.result() is not None else None)
        return sink.offer(message, answer)
