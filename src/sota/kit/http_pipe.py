"""Many large POSTs to one address, at a fraction of what :class:`~sota.kit.http_client.HttpClient` costs a call.

A body is handed over in parts, which go to the kernel as they are: a part that many bodies share (the same block for
hundreds of vehicles) is never copied. One request is under way on a connection at a time; ``pool`` bounds the
connections, and whoever finds all of them busy waits his turn within the time-out. :meth:`HttpPipe.send` takes neither
a task nor a timer, but needs a connection that stands idle; :meth:`HttpPipe.post` waits, and makes connections.

Rules kept here:

* an answer has 1 MiB at most, and each request, turn included, a time-out;
* a request is sent a second time only when a kept connection was closed before a byte of an answer came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from socket import SO_SNDBUF, SOL_SOCKET
from typing import cast
from urllib.parse import urlsplit

import httptools

from sota.kit.errors import Unavailable
from sota.kit.http_heads import KnownHeads, read_answer

MAX_ANSWER_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 5.0
SEND_BUFFER_BYTES = 512 << 10  # a block goes to the kernel in one piece
Answer = tuple[int, bytes]
Done = Callable[[Answer | Unavailable], None]
"""Takes the answer to a request, or why there is none."""
_Finished = Callable[["_Connection", Answer | Exception], None]


class _Connection(asyncio.Protocol):
    """One kept connection; ``finished`` is called once for each request."""

    def __init__(self, finished: _Finished, heads: KnownHeads) -> None:
        self.transport: asyncio.Transport
        self._heads, self._is_parsing = heads, False
        self.used = False
        self.answered = False
        self.deadline = 0.0
        self.parts: Sequence[bytes] = ()
        self.done: Done | None = None
        self._finished = finished
        self._keep = True
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    @property
    def is_usable(self) -> bool:
        return self._keep and not self.transport.is_closing()

    def send(self, parts: Sequence[bytes], done: Done, deadline: float) -> None:
        self._body, self.parts, self.done, self.deadline = b"", parts, done, deadline
        self.answered = False
        self.transport.writelines(parts)

    def abort(self) -> None:
        self.transport.abort()

    def expire(self) -> None:
        self._fail(TimeoutError())

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        self.answered = True
        if self.done is None:
            self.abort()  # nobody asked
            return
        found = None if self._is_parsing else self._heads.find(data, 0)
        if found is not None and found[1] + found[0].length == len(data):
            self._finished(self, (found[0].status, data[found[1] :]))
            return
        self._is_parsing = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        if self.done is not None:
            self._finished(self, exc or ConnectionResetError("the other side closed"))

    # httptools

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_ANSWER_BYTES:
            self._fail(ConnectionAbortedError("the answer is too long"))

    def on_message_complete(self) -> None:
        self._keep = self._keep and self._parser.should_keep_alive()
        self._is_parsing = self._parser.get_status_code() < 200
        if self.done is not None:
            self._finished(self, (self._parser.get_status_code(), self._body))

    def _fail(self, error: Exception) -> None:
        self._keep = False
        if self.done is not None:
            self._finished(self, error)
        self.abort()


class HttpPipe:
    """POSTs of JSON to one path of a plain HTTP address."""

    def __init__(self, base_url: str, path: str = "/", *, timeout_s: float = 10.0, pool: int = 64) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not a plain HTTP address: {base_url!r}")
        self._shown = base_url
        self._host, self._port = parts.hostname, parts.port or 80
        host = f"[{self._host}]" if ":" in self._host else self._host
        target = (parts.path.rstrip("/") + path) or "/"
        self._head = (
            f"POST {target} HTTP/1.1\r\nhost: {host}:{self._port}\r\ncontent-type: application/json\r\ncontent-length: "
        ).encode("ascii")
        self._timeout_s = timeout_s
        self._heads = KnownHeads(read_answer)
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._left = pool  # so many more requests may be under way
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._again: set[asyncio.Task[None]] = set()
        self.on_room: Callable[[], None] = lambda: None
        """Called when the pipe was full and is no more."""

    @property
    def is_full(self) -> bool:
        """Whether as many requests are under way as may be."""
        return self._left == 0

    def send(self, body: Sequence[bytes], done: Done) -> bool:
        """Send a request if a connection stands idle; says whether it did. If so ``done`` is called once, later."""
        connection = self._take_idle() if self._left else None
        if connection is None:
            return False
        self._left -= 1
        self._begin(connection, self._with_head(body), done, asyncio.get_running_loop().time() + self._timeout_s)
        return True

    async def post(self, body: Sequence[bytes]) -> Answer:
        """Send one request; gives status and body of its answer.

        Raises:
            Unavailable: nobody listens, the connection broke, or the time is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        await self._take_turn()
        try:
            connection = self._take_idle() or await self._connect()
        except BaseException as error:
            self._give_turn_back()
            if isinstance(error, OSError):  # a TimeoutError is one
                raise self._unavailable(error) from None
            raise
        waiter: asyncio.Future[Answer] = loop.create_future()

        def done(answer: Answer | Unavailable) -> None:
            if waiter.done():
                return
            if isinstance(answer, Unavailable):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)

        self._begin(connection, self._with_head(body), done, deadline)
        try:
            return await waiter
        except asyncio.CancelledError:
            if connection.done is done:
                connection.expire()  # its answer is still to come, and nobody wants it
            raise

    async def close(self) -> None:
        """Close the connections; what is under way is answered by nobody."""
        for task in list(self._again):
            task.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _with_head(self, body: Sequence[bytes]) -> Sequence[bytes]:
        return (b"%b%d\r\n\r\n" % (self._head, sum(map(len, body))), *body)

    def _begin(self, connection: _Connection, parts: Sequence[bytes], done: Done, deadline: float) -> None:
        self._busy.add(connection)
        if self._timer is None or deadline < self._timer.when():
            self._set_timer(deadline)
        connection.send(parts, done, deadline)

    def _finish(self, connection: _Connection, answer: Answer | Exception) -> None:
        done, parts, connection.done, connection.parts = connection.done, connection.parts, None, ()
        self._busy.discard(connection)
        if done is None:
            return
        if isinstance(answer, OSError) and connection.used and not connection.answered:
            now = asyncio.get_running_loop().time()
            if not isinstance(answer, TimeoutError) and now < connection.deadline:
                # A kept connection may have been closed just now: nothing was answered, so try another one.
                task = asyncio.create_task(self._send_again(parts, done, connection.deadline), name="pipe:again")
                self._again.add(task)
                task.add_done_callback(self._again.discard)
                return
        connection.used = True
        if connection.is_usable:
            self._idle.append(connection)
        self._give_turn_back()
        done(self._unavailable(answer) if isinstance(answer, Exception) else answer)

    async def _send_again(self, parts: Sequence[bytes], done: Done, deadline: float) -> None:
        try:
            connection = self._take_idle() or await self._connect()
        except BaseException as error:
            self._give_turn_back()
            done(self._unavailable(error))
            if not isinstance(error, OSError):
                raise
            return
        self._begin(connection, parts, done, deadline)

    def _look_at_time(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        for connection in [each for each in self._busy if each.deadline <= now]:
            connection.expire()
        if self._busy and self._timer is None:
            self._set_timer(min(each.deadline for each in self._busy))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._look_at_time)

    async def _take_turn(self) -> None:
        if self._left:
            self._left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._timeout_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give_turn_back()  # it came at the same moment
            if isinstance(error, TimeoutError):
                raise Unavailable(f"Too many calls to {self._shown} at once.") from None
            raise

    def _give_turn_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._left += 1
        if self._left == 1:
            self.on_room()

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: _Connection(self._finish, self._heads), self._host, self._port
            )
        return connection

    def _unavailable(self, error: BaseException) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self._shown} did not answer within {self._timeout_s:g} s.")
        return Unavailable(f"{self._shown} is not reachable: {error}.")
