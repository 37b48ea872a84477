"""One connection of an HTTP client: a request goes out, its answer is read, and the next one may follow.

Every HTTP client here is made of these (``client``, ``post_client``, ``rvi/callback``), so that the same bytes mean
the same to each. Rules kept here:

* one request is under way at a time; bytes that come while there is none end the connection;
* an answer that came before its request was sent whole counts, and the connection is not used again;
* where ``unread_bytes`` is set, no more than about that is read ahead of the caller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import cast

from sota.kit.http.answer import AnswerReader, BadAnswer
from sota.kit.http.heads import KnownHeads
from sota.kit.runtime.transports import write_parts

SMALL_BYTES = 1400  # less than a segment: what follows may wait for the acknowledgement (Nagle)


class ClientConnection(asyncio.Protocol):
    """Calls ``changed`` whenever there is something new: a part of the answer, its end, an error, room to write."""

    def __init__(
        self,
        changed: Callable[[ClientConnection], None],
        *,
        limit: int | None = None,
        heads: KnownHeads | None = None,
        unread_bytes: int | None = None,
        send_buffer_bytes: int | None = None,
    ) -> None:
        """Prepare; ``limit`` and ``heads`` are those of :class:`AnswerReader`."""
        self.transport: asyncio.Transport
        self.changed = changed
        self.answer = AnswerReader(limit=limit, heads=heads)
        self.error: Exception | None = None
        """Why there is no answer."""
        self.requests = 0
        self.is_writing_paused = False
        self._unread_bytes, self._send_buffer_bytes = unread_bytes, send_buffer_bytes
        self._is_reading_paused = False

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self.error is None and self.answer.keep and not self.transport.is_closing()

    @property
    def may_repeat(self) -> bool:
        """Whether a kept connection ended before anything was answered: the server may have closed it just before."""
        return isinstance(self.error, OSError) and self.requests > 1 and not self.answer.heard

    def send(self, parts: Sequence[bytes]) -> None:
        """Send a request, or its beginning; its parts go to the kernel as they are."""
        self.requests += 1
        self.answer.expect()
        if self.transport.is_closing():  # just now: the server has not seen the request
            self.error = ConnectionResetError("the server closed the connection")
            asyncio.get_running_loop().call_soon(self.changed, self)
            return
        write_parts(self.transport, parts)

    def take(self) -> bytes:
        """Return what came of the answer's body since the last time."""
        if self._is_reading_paused and self.error is None and not self.transport.is_closing():
            self._is_reading_paused = False
            self.transport.resume_reading()
        return self.answer.take()

    def fail(self, error: Exception) -> None:
        """Fail the request under way, and end the connection."""
        if self.error is None:
            self.error = error
        self.transport.abort()
        self.changed(self)

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        endpoint = transport.get_extra_info("socket")
        if endpoint is not None and self._send_buffer_bytes is not None:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        answer = self.answer
        try:
            answer.feed(data)
        except BadAnswer as error:
            self.fail(error)
            return
        if answer.done:
            if self.transport.get_write_buffer_size():
                answer.keep = False
        elif len(data) < SMALL_BYTES:
            self._acknowledge()
        if not answer.done and self._unread_bytes is not None and answer.waiting_bytes > self._unread_bytes:
            self._is_reading_paused = True
            self.transport.pause_reading()
        self.changed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, if the end of the connection is its end."""
        if self.error is None and not self.answer.done:
            self.error = exc or self._end()
        self.answer.keep = self.is_writing_paused = False
        self.changed(self)

    def _end(self) -> Exception | None:
        try:
            self.answer.end()
        except BadAnswer as error:
            return error if self.answer.heard else ConnectionResetError(str(error))
        return None

    def _acknowledge(self) -> None:
        """Have the kernel acknowledge at once: a server that writes head and body apart sends the body only then."""
        endpoint = self.transport.get_extra_info("socket")
        if endpoint is not None and endpoint.family in (socket.AF_INET, socket.AF_INET6):
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def pause_writing(self) -> None:
        """Note that the server does not read as fast as is written."""
        self.is_writing_paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self.is_writing_paused = False
        self.changed(self)
