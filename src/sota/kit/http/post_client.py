"""Many large POSTs to one address, at a fraction of what :class:`~sota.kit.http.client.HttpClient` costs a call.

A body is passed in parts, which go to the kernel unchanged: a part that many bodies share (the same block for hundreds
of vehicles) is never copied. A connection carries one request at a time and ``pool`` bounds the connections; a caller
that finds all of them busy waits within its time-out. :meth:`PostClient.send` needs neither a task nor a timer, but an
idle connection; :meth:`PostClient.post` waits for one or opens one.

Rules kept here:

* an answer has 1 MiB at most, and each request, turn included, a time-out;
* a request is sent a second time only when a kept connection was closed before a byte of an answer came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sota.kit.errors import Unavailable
from sota.kit.http.connection import ClientConnection
from sota.kit.http.heads import KnownHeads, read_answer

MAX_ANSWER_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 5.0
SEND_BUFFER_BYTES = 512 << 10  # a block goes to the kernel in one piece
Answer = tuple[int, bytes]
Done = Callable[[Answer | Unavailable], None]
"""Takes the answer to a request, or why there is none."""


@dataclass(slots=True)
class _Request:
    """A request under way: what was sent, who is told, and until when."""

    parts: Sequence[bytes]
    done: Done
    deadline: float


class PostClient:
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
        self._idle: list[ClientConnection] = []
        self._busy: dict[ClientConnection, _Request] = {}
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
            request = self._busy.get(connection)
            if request is not None and request.done is done:
                connection.fail(TimeoutError())  # its answer is still to come, and is not wanted any more
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

    def _begin(self, connection: ClientConnection, parts: Sequence[bytes], done: Done, deadline: float) -> None:
        self._busy[connection] = _Request(parts, done, deadline)
        if self._timer is None or deadline < self._timer.when():
            self._set_timer(deadline)
        connection.send(parts)

    def _changed(self, connection: ClientConnection) -> None:
        answer, error = connection.answer, connection.error
        if (not answer.done and error is None) or (request := self._busy.pop(connection, None)) is None:
            return
        if connection.may_repeat and not isinstance(error, TimeoutError):
            now = asyncio.get_running_loop().time()
            if now < request.deadline:
                task = asyncio.create_task(self._send_again(request), name="pipe:again")
                self._again.add(task)
                task.add_done_callback(self._again.discard)
                return
        if connection.is_usable:
            self._idle.append(connection)
        else:
            connection.abort()
        self._give_turn_back()
        request.done(self._unavailable(error) if error is not None else (answer.status, connection.take()))

    async def _send_again(self, request: _Request) -> None:
        try:
            connection = self._take_idle() or await self._connect()
        except BaseException as error:
            self._give_turn_back()
            request.done(self._unavailable(error))
            if not isinstance(error, OSError):
                raise
            return
        self._begin(connection, request.parts, request.done, request.deadline)

    def _look_at_time(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        for connection in [each for each, request in self._busy.items() if request.deadline <= now]:
            connection.fail(TimeoutError())
        if self._busy and self._timer is None:
            self._set_timer(min(request.deadline for request in self._busy.values()))

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

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: ClientConnection(
                    self._changed,
                    limit=MAX_ANSWER_BYTES,
                    heads=self._heads,
                    send_buffer_bytes=SEND_BUFFER_BYTES,
                ),
                self._host,
                self._port,
            )
        return connection

    def _unavailable(self, error: BaseException) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self._shown} did not answer within {self._timeout_s:g} s.")
        return Unavailable(f"{self._shown} is not reachable: {error}.")
