"""Every HTTP client of the product against a hostile server: the same bytes mean the same to each, and no answer
reaches a request that it does not belong to.

h11 is the oracle: what our reader takes for an answer, h11 takes for the same one. Ours refuses more (two equal
lengths, bare line feeds, folded headers, heads over 64 KiB): what is doubtful between two readers is no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.errors import Unavailable
from sota.kit.http.answer import MAX_HEAD_BYTES, AnswerReader, BadAnswer
from sota.kit.http.client import HttpClient, Response
from sota.kit.http.post_client import PostClient
from sota.rvi.callback import HttpAddress

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"a" * MAX_HEAD_BYTES
Verdict = tuple[int, bytes] | None


@dataclass(frozen=True)
class Case:
    """What the server sends and whether it closes; the verdict of the client, and whether it keeps the connection."""

    name: str
    sent: bytes
    verdict: Verdict
    kept: bool = False
    closes: bool = False

    def __str__(self) -> str:
        return self.name


CASES = (
    Case("a plain answer", OK, (200, b"{}"), kept=True),
    Case("an answer in chunks", CHUNKED + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nX: y\r\n\r\n", (200, b"{}"), kept=True),
    Case("hints before it", HINT + OK, (200, b"{}"), kept=True),
    Case("two kinds of 1xx before it", b"HTTP/1.1 100 Continue\r\n\r\n" + HINT + OK, (200, b"{}"), kept=True),
    Case("hints without end", HINT * 17 + OK, None),
    Case("hints and the end of the connection", HINT, None, closes=True),
    Case("another protocol", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{}", None),
    Case("no length", b"HTTP/1.1 200 OK\r\n\r\n{}", (200, b"{}"), closes=True),
    Case("no length, HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n{}", (200, b"{}"), closes=True),
    Case("no body", b"HTTP/1.1 204 No Content\r\n\r\n", (204, b""), kept=True),
    Case("not modified, with the length of what it would be", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
         (304, b""), kept=True),
    Case("the last one", OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), (200, b"{}")),
    Case("a short body", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", None, closes=True),
    Case("a short chunk", CHUNKED + b"5\r\n{}", None, closes=True),
    Case("chunks without end", CHUNKED + b"2\r\n{}\r\n", None, closes=True),
    Case("two answers", OK + OK.replace(b"{}", b"[]"), (200, b"{}")),
    Case("nonsense behind it", OK + b"\0\r\nnonsense", (200, b"{}")),
    Case("two lengths", OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), None),
    Case("one length twice", OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"), None),
    Case("a length and chunks", OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), None),
    Case("another transfer coding", CHUNKED.replace(b"chunked", b"gzip, chunked") + b"2\r\n{}\r\n0\r\n\r\n", None),
    Case("a negative length", OK.replace(b"2", b"-2"), None),
    Case("a length beyond all numbers", OK.replace(b": 2", b": " + b"9" * 40), None),
    Case("no number of a chunk", CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", None),
    Case("an endless head", OK.replace(b"\r\n\r\n", b"\r\nX: " + LONG + b"\r\n\r\n"), None),
    Case("a head of endless lines", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, None),
    Case("an endless status line", b"HTTP/1.1 200 " + LONG, None),
    Case("endless trailers", CHUNKED + b"2\r\n{}\r\n0\r\nX: " + LONG * 2, None),
    Case("an endless chunk extension", CHUNKED + b"2;" + LONG * 2, None),
    Case("no HTTP", b"good morning\r\n\r\n", None),
    Case("a status of no kind", OK.replace(b"200", b"099"), None),
    Case("a blank before the colon", OK.replace(b"Length:", b"Length :"), None),
    Case("a zero byte", OK.replace(b"OK\r\n", b"OK\r\nX: a\0b\r\n"), None),
    Case("nothing", b"", None, closes=True),
)  # fmt: skip


class Server:
    """Answers each request of a connection by the same bytes, then by a plain answer of its own number."""

    def __init__(self, case: Case, pieces: int) -> None:
        self.case, self.pieces = case, pieces
        self.requests = self.connections = self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            self.requests += 1
            if self.requests > 1:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond")
                await writer.drain()
                continue
            for part in _cut(self.case.sent, self.pieces):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if self.case.closes:
                return


def _cut(content: bytes, pieces: int) -> Iterator[bytes]:
    size = max(1, -(-len(content) // pieces))
    return (content[at : at + size] for at in range(0, len(content), size))


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """A server on a free port; its connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def serving(case: Case, pieces: int = 1) -> AsyncIterator[Server]:
    server = Server(case, pieces)
    async with listening(server.serve) as port:
        server.port = port
        yield server


Ask = Callable[[], Awaitable[Verdict]]
TIMEOUT_S = 5.0


@contextlib.asynccontextmanager
async def whole(port: int, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Ask]:
    """Calls between our programs, answers read whole."""
    client = HttpClient(f"http://127.0.0.1:{port}", timeout_s=timeout_s, pool=1)

    async def ask() -> Verdict:
        try:
            response = await client.request("POST", "/", body=b"{}")
        except Unavailable:
            return None
        return response.status, response.body

    yield ask
    await client.close()


@contextlib.asynccontextmanager
async def streamed(port: int, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Ask]:
    """The same answers, read as they arrive."""
    client = HttpClient(f"http://127.0.0.1:{port}", timeout_s=timeout_s, pool=1)

    async def ask() -> Verdict:
        try:
            async with client.stream("POST", "/", body=b"{}") as response:
                return response.status, await response.read()
        except Unavailable:
            return None

    yield ask
    await client.close()


@contextlib.asynccontextmanager
async def posted(port: int, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Ask]:
    """Core's blocks to its node."""
    client = PostClient(f"http://127.0.0.1:{port}", timeout_s=timeout_s, pool=1)

    async def ask() -> Verdict:
        try:
            return await client.post((b"{}",))
        except Unavailable:
            return None

    yield ask
    await client.close()


@contextlib.asynccontextmanager
async def called_back(port: int, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Ask]:
    """The node's calls of local services."""
    caller = HttpAddress(f"http://127.0.0.1:{port}/").channel(timeout_s)

    async def ask() -> Verdict:
        told: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        caller.call((b"{}",), told.set_result)
        response = await told
        return None if response is None else (response.status, response.body)

    yield ask
    caller.close()


CLIENTS = (whole, streamed, posted, called_back)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_client_gives_the_same_verdict_and_the_next_request_gets_its_own_answer(
    case: Case, client: Callable[[int], contextlib.AbstractAsyncContextManager[Ask]]
) -> None:
    for pieces in (1, 7):
        async with serving(case, pieces) as server, client(server.port) as ask, asyncio.timeout(20):
            assert await ask() == case.verdict
            assert await ask() == (200, b"second")
            assert (server.connections == 1) is case.kept


@pytest.mark.parametrize("client", CLIENTS)
async def test_bytes_that_come_between_two_requests_answer_neither(
    client: Callable[[int], contextlib.AbstractAsyncContextManager[Ask]],
) -> None:
    late, seen = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK)
        await late.wait()
        if not seen.is_set():
            writer.write(OK.replace(b"{}", b"[]"))
            await reader.read()  # the client ends the connection
            seen.set()

    async with listening(serve) as port, client(port) as ask, asyncio.timeout(20):
        assert await ask() == (200, b"{}")
        late.set()
        await seen.wait()
        assert await ask() == (200, b"{}")


@pytest.mark.parametrize("client", CLIENTS)
async def test_slow_bytes_do_not_outlast_the_time_out(
    client: Callable[[int, float], contextlib.AbstractAsyncContextManager[Ask]],
) -> None:
    """Each byte comes in time, the whole does not."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with listening(drip) as port, client(port, 0.3) as ask, asyncio.timeout(20):
        assert await ask() is None


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_reset_in_the_middle_is_no_answer(
    client: Callable[[int], contextlib.AbstractAsyncContextManager[Ask]],
) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK[:-1])
        await writer.drain()
        writer.transport.abort()

    async with listening(reset) as port, client(port) as ask, asyncio.timeout(20):
        assert await ask() is None


async def test_a_long_request_that_is_answered_before_it_was_read_gets_the_answer_and_a_new_connection_follows() -> (
    None
):
    connections = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.Event().wait()  # and reads no more

    body = b"x" * (32 << 20)
    async with listening(refuse) as port, asyncio.timeout(20):
        http = HttpClient(f"http://127.0.0.1:{port}", pool=1)
        assert [(await http.request("POST", "/", body=body)).status for _ in range(2)] == [413, 413]
        await http.close()
        poster = PostClient(f"http://127.0.0.1:{port}", pool=1)
        assert [await poster.post((body,)) for _ in range(2)] == [(413, b"no")] * 2
        await poster.close()
        assert connections == 4


def ours(content: bytes, cuts: list[int]) -> Verdict:
    """What our reader makes of bytes that come in these pieces, and then end."""
    reader = AnswerReader(limit=1 << 20)
    reader.expect()
    at = 0
    try:
        for cut in [*sorted(cut for cut in cuts if cut < len(content)), len(content)]:
            if content[at:cut] and not reader.done:
                reader.feed(content[at:cut])
            at = cut
        reader.end()
    except BadAnswer:
        return None
    return (reader.status, reader.take()) if reader.done else None


def of_h11(content: bytes) -> Verdict:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(content)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


@st.composite
def damaged_answers(draw: st.DrawFn) -> bytes:
    """One of the answers above, with bytes replaced, removed, repeated or put in."""
    content = bytearray(draw(st.sampled_from([case.sent for case in CASES if len(case.sent) < 400])))
    for _ in range(draw(st.integers(0, 4))):
        at, size = draw(st.integers(0, len(content))), draw(st.integers(0, 12))
        part = draw(
            st.sampled_from([b"", b"\r\n", b"\n", b"\0", b" ", b"0", b"9", b"Content-Length: 1\r\n", b"chunked", b":"])
        )
        content[at : at + draw(st.sampled_from([0, size]))] = part
    return bytes(content)


@pytest.mark.hypothesis
@given(content=damaged_answers(), cuts=st.lists(st.integers(1, 200), max_size=4))
def test_what_our_reader_takes_for_an_answer_h11_takes_for_the_same(content: bytes, cuts: list[int]) -> None:
    verdict = ours(content, [])
    assert ours(content, cuts) == verdict, "however it is cut"
    if verdict is not None:
        # Neither looks at blank lines before an answer, and ours not at what a reason phrase is made of.
        plain = re.sub(rb"\r\n[\r\n]{3,}HTTP/", rb"\r\n\r\nHTTP/", content.lstrip(b"\r\n"))
        plain = re.sub(rb"^(HTTP/\d\.\d \d{3})[^\r\n]*\r\n", rb"\1 reason\r\n", plain, flags=re.MULTILINE)
        assert of_h11(plain) == verdict
