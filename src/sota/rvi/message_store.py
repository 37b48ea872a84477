"""Messages for absent services: on disk, in the order of their arrival, until their time-out.

Rules kept here:

* a message is accepted once it is durable; killing the node loses no accepted message;
* it leaves the disk when it was handed over or its time is over. A hand-over that failed after all is repeated, so a
  receiver may see a message twice;
* number and bytes are bounded: a message that does not fit is refused, and its sender notified.

On disk the end of a message's time is on a scale of the file's own, which follows the monotonic clock. Setting the
machine's clock therefore ends no message early or late until the next boot.

Memory holds only a record for each service that has messages here.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from sota.kit.errors import Unavailable
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger
from sota.rvi.database import NodeDatabase
from sota.rvi.message import Message, Peer

Deleted = list[tuple[str, int]]
"""Service and bytes of each deleted message."""

READ_MESSAGES = 64
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
READ_BYTES = 4 << 20
MAX_BREAKS, MAX_SUSPECTS = 5, 1000


@dataclass(slots=True)
class Backlog:
    """What waits for one service: the count, the newest number, and the last number that was handed over."""

    count: int = 0
    newest: int = 0
    handed_over: int = 0
    durable: int = 0
    """How many of them are on disk already, and their bytes."""
    durable_bytes: int = 0


class MessageStore:
    """The messages on disk."""

    def __init__(self, disk: NodeDatabase, *, max_messages: int, max_bytes: int) -> None:
        self._database = disk
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._backlogs: dict[str, Backlog] = {}
        self._next, self._base = 1, time.time() - time.monotonic()
        self._breaks: dict[int, int] = {}
        self.messages = self.bytes = 0
        disk.on_start_over.append(self._start_over)

    async def open(self) -> None:
        """Load what an earlier run has left."""
        self._base = await self._database.submit(partial(_keep_base, self._base))
        services, newest = await self._database.submit(_survey)
        for service, count, size, last in services:
            self._backlogs[service] = Backlog(count, last, durable=count, durable_bytes=size)
            self.messages += count
            self.bytes += size
        self._next = newest + 1

    def has_waiting(self, service: str) -> bool:
        """Report whether messages wait for this service; later ones must then queue behind them."""
        backlog = self._backlogs.get(service)
        return backlog is not None and backlog.newest > backlog.handed_over

    def reserve(self) -> int:
        """Reserve a message's place among the others, in case it must be stored later."""
        self._next += 1
        return self._next - 1

    def append(self, message: Message) -> asyncio.Future[None]:
        """Store a message; the future ends when it is durable.

        Raises:
            Unavailable: the store is full.
        """
        size = len(message.parameters)
        if self.messages >= self._max_messages or self.bytes + size > self._max_bytes:
            raise Unavailable("The node's disk is full of messages for peers that are away.")
        message.number = self.reserve() if message.place is None else message.place
        backlog = self._backlogs.setdefault(message.service, Backlog())
        backlog.count += 1
        backlog.newest = max(backlog.newest, message.number)
        self.messages += 1
        self.bytes += size
        future = self._database.submit(lambda connection: _insert(connection, message, self._base))
        future.add_done_callback(lambda done: self._settle(message, size, done))
        return future

    def keep(self, messages: Iterable[Message]) -> None:
        """Store the messages that an ended connection or service did not deliver.

        A message that may have broken its connection :data:`MAX_BREAKS` times is dropped: sent again and again, it
        would keep the link down.
        """
        for message in messages:
            if message.is_over:
                continue
            if message.number is None:
                try:
                    self.append(message)
                except Unavailable:
                    metrics.REFUSED.labels("rvi-node", "store_full").inc()
                    continue
            else:  # it is still on disk
                self.retry_handed_over(message.service)
            if message.suspect and self._breaks_too_often(message):
                metrics.REFUSED.labels("rvi-node", "breaks_link").inc()
                get_logger(program="rvi-node").error("message_given_up", service=message.service, breaks=MAX_BREAKS)
                self.remove([message.number or 0])

    def _breaks_too_often(self, message: Message) -> bool:
        number = message.number or 0
        breaks = self._breaks.pop(number, 0) + 1
        if breaks < MAX_BREAKS:
            self._breaks[number] = breaks
            if len(self._breaks) > MAX_SUSPECTS:
                del self._breaks[next(iter(self._breaks))]
        return breaks >= MAX_BREAKS

    async def next(self, service: str) -> list[Message]:
        """Read the oldest messages of a service that have not been handed over.

        Raises:
            Unavailable: the disk fails.
        """
        backlog = self._backlogs.get(service)
        if backlog is None:
            return []
        after, newest = backlog.handed_over, backlog.newest
        messages = await self._database.submit(lambda connection: _read(connection, service, after, self._base))
        if not messages:  # the disk failed for some, or their time was over: nothing is left to hand over
            backlog.handed_over = max(backlog.handed_over, newest)
        return messages

    def mark_handed_over(self, message: Message) -> None:
        """Note that a message was handed over; it stays on disk until it is removed."""
        backlog = self._backlogs.get(message.service)
        if backlog is not None and message.number is not None:
            backlog.handed_over = max(backlog.handed_over, message.number)

    def retry_handed_over(self, service: str) -> None:
        """Note that hand-overs to this service may have failed: messages still on disk wait again."""
        if backlog := self._backlogs.get(service):
            backlog.handed_over = 0

    def remove(self, numbers: Sequence[int]) -> asyncio.Future[Deleted]:
        """Delete messages that have arrived or expired."""
        return self._delete(lambda connection: _delete(connection, numbers))

    def expire(self) -> asyncio.Future[Deleted]:
        """Delete messages whose time is over."""
        now = time.monotonic() + self._base
        return self._delete(lambda connection: _expire(connection, now))

    def _delete(self, work: Callable[[sqlite3.Connection], Deleted]) -> asyncio.Future[Deleted]:
        deleted = self._database.submit(work)
        deleted.add_done_callback(self._count_deleted)
        return deleted

    def _count_deleted(self, deleted: asyncio.Future[Deleted]) -> None:
        if deleted.cancelled() or deleted.exception() is not None:
            return
        for service, size in deleted.result():
            if (backlog := self._backlogs.get(service)) is not None:
                backlog.durable -= 1
                backlog.durable_bytes -= size
            self._forget(service, size)

    def _start_over(self) -> None:
        """Forget what the damaged file held; pending writes go into the new file."""
        self._database.submit(partial(_keep_base, self._base))
        for service, backlog in list(self._backlogs.items()):
            self.messages -= backlog.durable
            self.bytes -= backlog.durable_bytes
            backlog.count -= backlog.durable
            backlog.durable = backlog.durable_bytes = 0
            if backlog.count <= 0:
                del self._backlogs[service]

    def _settle(self, message: Message, size: int, appended: asyncio.Future[None]) -> None:
        if appended.cancelled() or appended.exception() is not None:
            self._forget(message.service, size)
        else:
            if (backlog := self._backlogs.get(message.service)) is not None:
                backlog.durable += 1
                backlog.durable_bytes += size
            message.settle()

    def _forget(self, service: str, size: int) -> None:
        self.messages -= 1
        self.bytes -= size
        backlog = self._backlogs.get(service)
        if backlog is not None:
            backlog.count -= 1
            if backlog.count <= 0:
                del self._backlogs[service]


def _survey(connection: sqlite3.Connection) -> tuple[list[tuple[str, int, int, int]], int]:
    services = connection.execute(
        "SELECT service, COUNT(*), SUM(LENGTH(parameters)), MAX(number) FROM messages GROUP BY service"
    ).fetchall()
    return services, max((row[3] for row in services), default=0)


def _keep_base(base: float, connection: sqlite3.Connection) -> float:
    """Return the base of the file's times: that of an earlier process since boot, or else ``base``."""
    boot_id = _boot_id()
    row = connection.execute("SELECT boot_id, base FROM clock").fetchone()
    if row is not None and row[0] == boot_id:
        return float(row[1])
    connection.execute("INSERT OR REPLACE INTO clock(one, boot_id, base) VALUES (1, ?, ?)", (boot_id, base))
    return base


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _insert(connection: sqlite3.Connection, message: Message, base: float) -> None:
    peer = msgspec.json.encode(message.peer) if message.peer is not None else None
    values = (message.number, message.service, message.parameters, message.timeout_ms, message.ends + base, peer)
    connection.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", values)


def _read(connection: sqlite3.Connection, service: str, after: int, base: float) -> list[Message]:
    rows = connection.execute(
        "SELECT number, service, parameters, timeout_ms, deadline, peer FROM messages"
        " WHERE service = ? AND number > ? ORDER BY number LIMIT ?",
        (service, after, READ_MESSAGES),
    )
    messages: list[Message] = []
    size = 0
    now = time.time() - time.monotonic()
    for number, name, parameters, timeout_ms, ends, peer in rows:
        sender = msgspec.json.decode(peer, type=Peer) if peer is not None else None
        messages.append(Message(name, parameters, timeout_ms, ends - base + now, sender, number=number))
        size += len(parameters)
        if size >= READ_BYTES:
            break
    return messages


def _delete(connection: sqlite3.Connection, numbers: Sequence[int]) -> Deleted:
    gone: Deleted = []
    for number in numbers:
        query = "DELETE FROM messages WHERE number = ? RETURNING service, LENGTH(parameters)"
        gone += connection.execute(query, (number,)).fetchall()
    return gone


def _expire(connection: sqlite3.Connection, now: float) -> Deleted:
    query = "DELETE FROM messages WHERE deadline <= ? RETURNING service, LENGTH(parameters)"
    return connection.execute(query, (now,)).fetchall()
