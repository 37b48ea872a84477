"""One HTTP connection: uvicorn's, with the limits that it leaves to a proxy before it. There is none before us.

Rules kept here:

* a request's head has a time in which it must be whole, and a size; so has the first one of a connection that says
  nothing;
* a request names one host, and its body comes in one piece or in plain chunks (that two lengths, or a length that is
  none, are refused is the parser's part);
* who gets an answer before his body was read may go on sending for a moment, and is then cut off;
* where there are too many connections, a quiet one is closed (:mod:`sota.kit.http.connection_limits`);
* who does not take his answer is cut off too: what he does not read would stay in our memory.
"""

from __future__ import annotations

import asyncio
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


class HttpProtocol(HttpToolsProtocol):
    """A connection that cannot be held open by doing nothing."""

    limits: ConnectionLimits | None = None  # of the listener, whose protocols are a class of their own

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._in_head, self._is_idle, self._is_too_large = False, True, False
        self._head_bytes = 0

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
        return self._is_idle

    def cut_off(self) -> None:
        """Close the connection at once, without a word: another one needs its place."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        was_in_head = self._in_head or self._is_idle
        super().data_received(data)
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
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm("linger")
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
        if self.transport.get_write_buffer_size() > 0:
            self.transport.abort()
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
