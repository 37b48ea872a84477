"""The writing side of one connection to another node, with bounds on what may wait.

All writes of one turn of the loop go together: one TLS record and one system call for many messages. Only large pieces
go in records of their own, since joining would copy them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence

from sota.kit.runtime.transports import write_parts
from sota.rvi.message import Part

FLUSH_BYTES = 64 << 10
LARGE_BYTES = 8 << 10
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 60, 10, 6


class Writer:
    """The writing side of a connection."""

    __slots__ = ("_bytes", "_drained", "_loop", "_pieces", "paused", "transport")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: list[Part] = []
        self._bytes = 0
        self._drained: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None
        self.paused = False

    def begin(self, transport: asyncio.Transport, limit: int) -> None:
        """Take the transport; more than ``limit`` bytes in it pause the writers."""
        self.transport = transport
        transport.set_write_buffer_limits(high=limit)
        keep_alive(transport.get_extra_info("socket"))

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def is_flushed(self) -> bool:
        """Whether everything written has left this process."""
        return not self._pieces and self.transport is not None and self.transport.get_write_buffer_size() == 0

    def write(self, content: bytes, *, alone: bool = False) -> None:
        """Write together with all else of this turn of the loop, or ``alone``: in TLS records of its own."""
        if alone:
            self.flush()
        self.write_parts((content,), len(content))
        if alone:
            self.flush()

    def write_parts(self, parts: Sequence[Part], size: int) -> None:
        """Write the parts of one packet, of about ``size`` bytes."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.extend(parts)
        self._bytes += size
        if self._bytes > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the collected pieces."""
        pieces, size, self._pieces, self._bytes = self._pieces, self._bytes, [], 0
        if not pieces or self.transport is None or self.transport.is_closing():
            return
        if size < LARGE_BYTES:
            self.transport.write(b"".join(pieces))
        else:
            write_parts(self.transport, _joined(pieces))

    def resume(self) -> None:
        """Resume the waiting writers: the other side has read."""
        self.paused = False
        self.resume_waiting()

    def resume_waiting(self) -> None:
        """Wake the waiting writers; each checks whether it can write."""
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    async def writable(self, timeout_s: float) -> None:
        """Wait until more may perhaps be written, or the time or the connection is over."""
        if self._drained is None:
            self._drained = self._loop.create_future()
        await asyncio.wait((self._drained,), timeout=timeout_s)

    def close(self) -> None:
        """Close the connection once everything is written."""
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection now."""
        if self.transport is not None:
            self.transport.abort()


def _joined(pieces: Sequence[Part]) -> Iterator[Part]:
    """Join adjacent small pieces; yield large ones unchanged."""
    small: list[Part] = []
    for piece in pieces:
        if len(piece) < LARGE_BYTES:
            small.append(piece)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield piece
    if small:
        yield b"".join(small)


def pause_reading(transport: asyncio.Transport, until: asyncio.Future[None]) -> None:
    """Stop reading from a connection until this is done."""
    if transport.is_reading():
        transport.pause_reading()
        until.add_done_callback(lambda _: None if transport.is_closing() else transport.resume_reading())


def keep_alive(endpoint: socket.socket | None) -> None:
    """Let the kernel detect hosts that vanished; ``dead_after_s`` detects a peer that hangs."""
    if endpoint is None or endpoint.family not in (socket.AF_INET, socket.AF_INET6):
        return
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
    endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
