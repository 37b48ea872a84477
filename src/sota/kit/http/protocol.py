"""One HTTP connection: uvicorn's, with the limits that it leaves to a proxy before it. There is none before us.

Rules kept here:

* a request's head has a time in which it must be whole, and a size; so has the first one of a connection that says
  nothing;
* a request names one host, and its body comes in one piece or in plain chunks (that two lengths, or a length that is
  none, are refused is the parser's part);
* who gets an answer before his body was read may go on sending for a moment, and is then cut off;
* where there are too many connections, a quiet one is closed (:mod:`sota.kit.http.connection_limits`);
* who does not take his answer is cut off too: what he does not read would stay in our memory.

An application may name a *direct* route (:class:`Direct`): what is posted there is answered without the ASGI cycle,
whose cost is several times that of a small message. Who posts many messages there repeats himself: a head that the
parser has accepted once is known by its bytes, and the next message under it is not parsed again. Requests that came
together on one connection are answered in their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sota.kit.http.connection_limits import ConnectionLimits
from sota.kit.runtime.stub_modules import hidden

with hidden("uvicorn.main"):  # its command line
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_TIMEOUT_S = 20.0
MAX_HEAD_BYTES = 64 << 10
MAX_HEADERS = 100
LINGER_S = 10.0  # for what is still sent to a request that is answered, and for what a closed connection has to write
WRITE_TIMEOUT_S = 60.0  # to take what waits beyond the transport's high-water mark
TOO_LARGE = 431
KNOWN_HEADS, KNOWN_HEAD_BYTES = 256, 1024
ANSWER_HEAD = b"%bcontent-type: application/json\r\ncache-control: no-store\r\ncontent-length: %d\r\n%b\r\n"


@dataclass(frozen=True, slots=True)
class Direct:
    """A route for bodies of JSON that are posted below ``prefix``, ``limit`` bytes at most.

    ``answer`` takes path and body, and gives status and body; it raises nothing. ``answer_at_once`` does so without
    waiting for anything, and gives None where that cannot be: then nothing was done yet.
    """

    prefix: bytes
    limit: int
    answer: Callable[[bytes, bytes], Awaitable[tuple[int, bytes]]]
    answer_at_once: Callable[[bytes, bytes], tuple[int, bytes] | None] = lambda _path, _content: None
    known: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    """Heads that the parser accepted, as path and length of the body."""

    def learn(self, head: bytes, path: bytes, length: int) -> None:
        """Know a head by its bytes from now on; all are forgotten when there are too many."""
        if len(head) > KNOWN_HEAD_BYTES or not head.startswith(b"POST "):
            return
        if len(self.known) >= KNOWN_HEADS:
            self.known.clear()
        self.known[head] = (path, length)


class HttpProtocol(HttpToolsProtocol):
    """A connection that cannot be held open by doing nothing."""

    limits: ConnectionLimits | None = None  # of the listener, whose protocols are a class of their own

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._in_head, self._is_idle, self._is_too_large = False, True, False
        self._head_bytes = 0
        self._direct: Direct | None = getattr(self.app, "direct", None)
        self._parts: list[bytes] | None = None
        self._parts_bytes = 0
        self._fresh = b""  # what came first of the request that is read now
        self._waiting: deque[tuple[bytes, bytes, bool]] = deque()  # path, body, and whether the connection is kept
        self._answering = False
        self._answered_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm("head", HEAD_TIMEOUT_S)
        if self.limits is not None:
            self.limits.enter(self, self.client[0] if self.client else "")

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._disarm(name)
        if self.limits is not None:
            self.limits.leave(self, self.client[0] if self.client else "")
        super().connection_lost(exc)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody waits for an answer here: the connection is between requests, or a head is still arriving."""
        return self._is_idle and not self._answering and not self._waiting

    def cut_off(self) -> None:
        """Close the connection at once, without a word: another one needs its place."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._direct is not None and self._is_idle and not self._in_head and not self._answering:
            data = self._answer_known(self._direct, data)
            if not data:
                return
            self._fresh = data
        was_in_head = self._in_head or self._is_idle
        super().data_received(data)
        self._fresh = b""
        if self.transport.is_closing():
            self._arm("close", LINGER_S)
        elif self._in_head or self._is_idle:  # idle: line breaks before a request end the wait for it, and begin none
            self._arm("head", HEAD_TIMEOUT_S)
            # The end of a body that nobody waited for is no part of the next request's head.
            self._head_bytes += len(data) if was_in_head else 0
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_large()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head, self._is_idle, self._head_bytes = False, False, 0
        self._disarm("head")
        if len(self.headers) > MAX_HEADERS:
            self._is_too_large = True
            raise ValueError("too many headers")
        is_old = self.parser.get_http_version() != "1.1"
        hosts, size = 0, len(self.url)
        for name, value in self.headers:
            hosts += name == b"host"
            size += len(name) + len(value)
            if name == b"transfer-encoding" and (is_old or value.strip().lower() != b"chunked"):
                raise ValueError("a body in a form that is not read here")
        if size > MAX_HEAD_BYTES:  # it came in one piece, so nothing has counted it yet
            self._is_too_large = True
            raise ValueError("too large a head")
        if hosts > 1 or (hosts == 0 and not is_old):
            raise ValueError("not one host")
        if self._is_direct():
            self._parts, self._parts_bytes = [], 0
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._parts is None:
            super().on_body(body)
            return
        self._parts_bytes += len(body)
        if self._direct is not None and self._parts_bytes > self._direct.limit:
            self._refuse_large()
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self._disarm("linger")
        if self._parts is not None:
            self._queue_answer(self._direct)
            return
        super().on_message_complete()
        self._is_idle = self.cycle.response_complete

    def on_response_complete(self) -> None:
        # ``cycle`` is the request that came last: another one, where several came at once.
        has_more = self.cycle.more_body and self.cycle.response_complete
        self._is_idle = self.cycle.response_complete and not self.cycle.more_body
        if self.limits is not None:
            self.timeout_keep_alive = self.limits.keep_alive_s
        super().on_response_complete()
        if self.transport.is_closing():
            self._arm("close", LINGER_S)
        elif has_more:
            self._arm("linger", LINGER_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._arm("write", WRITE_TIMEOUT_S)

    def resume_writing(self) -> None:
        self._disarm("write")
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if self.transport.get_write_buffer_size() > 0:
            self.transport.abort()
        elif left > 0.001:  # a message under a known head does not touch the timer
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        if self._is_too_large:
            self._refuse_large()
        else:
            super().send_400_response(msg)

    def _refuse_large(self) -> None:
        self.transport.write(STATUS_LINE[TOO_LARGE] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
        self._arm("close", LINGER_S)

    def _is_direct(self) -> bool:
        direct = self._direct
        if direct is None or not self.url.startswith(direct.prefix) or self.expect_100_continue or self.pipeline:
            return False
        is_free = getattr(self.cycle, "response_complete", True)  # None before the first one
        return is_free and self.parser.get_method() == b"POST" and self.parser.get_http_version() == "1.1"

    def _answer_known(self, direct: Direct, data: bytes) -> bytes:
        """Answer the messages under known heads that ``data`` begins with; gives the rest, which the parser reads."""
        answers: list[bytes] = []
        while data and not self.flow.write_paused:
            start = data.find(b"\r\n\r\n", 0, KNOWN_HEAD_BYTES) + 4
            known = direct.known.get(data[:start])
            if known is None or len(data) < start + known[1]:
                break
            path, length = known
            found = direct.answer_at_once(path, data[start : start + length])
            if found is None:
                break
            status, answer = found
            answers += (ANSWER_HEAD % (STATUS_LINE[status], len(answer), b""), answer)
            data = data[start + length :]
            self.server_state.total_requests += 1
        if answers:
            self._disarm("head")
            self._answered_at = self.loop.time()
            self.transport.write(b"".join(answers))
        return data

    def _queue_answer(self, direct: Direct | None) -> None:
        parts, self._parts = self._parts or [], None
        if direct is None or self.transport.is_closing():
            return
        content, keep = b"".join(parts), self.parser.should_keep_alive()
        head = self._fresh[: len(self._fresh) - len(content)]
        if keep and head.endswith(b"\r\n\r\n") and head.find(b"\r\n\r\n") == len(head) - 4:  # all came in one piece
            direct.learn(head, self.url, len(content))
        self.flow.pause_reading()  # what comes next waits in the socket
        self._waiting.append((self.url, content, keep))
        if not self._answering:
            self._answering = True
            task = self.loop.create_task(self._answer_waiting(direct))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _answer_waiting(self, direct: Direct) -> None:
        keep = True
        try:
            while self._waiting and keep:
                url, content, keep = self._waiting.popleft()
                status, answer = await direct.answer(url, content)
                self.server_state.total_requests += 1
                if self.transport.is_closing():
                    return
                head = ANSWER_HEAD % (STATUS_LINE[status], len(answer), b"" if keep else b"connection: close\r\n")
                self.transport.write(head + answer)
        finally:
            self._answering, self._is_idle = False, True
        if not keep:
            self.transport.close()
            self._arm("close", LINGER_S)
            return
        self._answered_at = self.loop.time()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self.flow.resume_reading()

    def _arm(self, name: str, after_s: float) -> None:
        if name not in self._timers:  # a time that runs is not begun anew by who sends a little
            self._timers[name] = self.loop.call_later(after_s, self._cut, name)

    def _disarm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _cut(self, name: str) -> None:
        self._timers.pop(name, None)
        if name in ("write", "close"):
            self.transport.abort()
        else:
            self.transport.close()
            self._arm("close", LINGER_S)
