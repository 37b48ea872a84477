"""Connections that are made to confuse or to exhaust: smuggled requests, heads and bodies without end, slow ones.

Each ends in a refusal or is cut off, and meanwhile others are served.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from sota.boundaries.binding import call as http_message
from sota.boundaries.interaction import Role
from sota.kit.http import asgi_connection
from sota.web.accounts.service import issue_token
from tests.support.backend import Backend, multipart
from tests.support.names import new_name
from tests.support.raw_http import Heard, RawConnection, say

HEAD = b"POST /api/v1/vehicles HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

SMUGGLED = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SECOND,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SECOND,
    "same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SECOND,
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}" + SECOND,
    "length with a sign": HEAD + b"Content-Length: +2\r\n\r\n{}" + SECOND,
    "length below zero": HEAD + b"Content-Length: -1\r\n\r\n" + SECOND,
    "length in hex": HEAD + b"Content-Length: 0x2\r\n\r\n{}" + SECOND,
    "length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n" + SECOND,
    "empty length": HEAD + b"Content-Length:\r\n\r\n" + SECOND,
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "coding before chunks": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
    "coding twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "tabulator in the coding": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "folded header": HEAD + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n" + SECOND,
    "chunk size below zero": CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n" + SECOND,
    "chunk size that is none": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n" + SECOND,
    "chunk size with 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n" + SECOND,
    "chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n" + SECOND,
    "chunk longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n" + SECOND,
    "bare line feeds in chunks": CHUNKED + b"2\n{}\n0\n\n" + SECOND,
    "line feed in a chunk's extension": CHUNKED + b"2;a=\nb\r\n{}\r\n0\r\n\r\n" + SECOND,
    "bare line feeds": b"GET /api/v1/vehicles HTTP/1.1\nHost: localhost\n\n" + SECOND,
    "bare carriage return": b"GET /api/v1/vehicles HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n" + SECOND,
    "zero byte": b"GET /api/v1/vehicles HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n" + SECOND,
    "two hosts": b"GET /api/v1/vehicles HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n" + SECOND,
    "no host": b"GET /api/v1/vehicles HTTP/1.1\r\n\r\n" + SECOND,
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SECOND,
}


@pytest.fixture
async def token(backend: Backend) -> str:
    return await issue_token(backend.web.db, Role.OPERATOR, new_name("attacker"))


def authorized(token: str) -> bytes:
    return HEAD + f"Authorization: Bearer {token}\r\n".encode()


async def is_served(backend: Backend) -> bool:
    return (await backend.ask("GET", "/api/v1/vehicles", query={"limit": "1"})).status == 200


@pytest.mark.parametrize("content", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_request_that_two_readers_could_read_differently_is_refused(backend: Backend, content: bytes) -> None:
    for port in (backend.web.port, backend.core.port, backend.resolver.port):
        heard = await say(port, content)
        assert heard.status == 400, heard
        assert heard.was_closed
        assert heard.answers == 1, "a second request was found in the first one's body"


async def test_request_in_another_ones_body_stays_there(backend: Backend) -> None:
    body = SECOND * 3
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    heard = await say(backend.web.port, HEAD + length + body)
    assert (heard.status, heard.answers) == (401, 1)


@pytest.mark.parametrize(
    "target",
    [b"http://evil.example/api/v1/vehicles", b"//evil.example/api/v1/vehicles", b"/api/v1/../v1/vehicles", b"*"],
)
async def test_target_in_another_form_reaches_nothing_that_is_not_declared(backend: Backend, target: bytes) -> None:
    heard = await say(backend.web.port, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert heard.status in {400, 401, 404, 405}
    assert b"evil" not in heard.content.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)),
        b"GET /" + b"x" * 200_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["one header without end", "headers without end", "a path without end", "too many headers", "a long header"],
)
async def test_head_without_end_is_cut_off(backend: Backend, head: bytes) -> None:
    heard = await say(backend.web.port, head)
    assert heard.was_closed
    assert heard.status in {0, 431}  # 0: the answer was lost, for we were still sending
    assert await is_served(backend)


@pytest.mark.parametrize("form", ["declared", "chunked"])
async def test_body_over_its_limit_is_refused_and_not_read(backend: Backend, token: str, form: str) -> None:
    connection = await RawConnection.open(backend.web.port)
    part = b"[" * (1 << 18)
    if form == "declared":
        await connection.send(authorized(token) + b"Content-Length: 10000000000\r\n\r\n")
    else:
        await connection.send(authorized(token) + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(8):
            await connection.send(b"%x\r\n%b\r\n" % (len(part), part))
    heard = await connection.listen(1.0)
    connection.close()
    assert heard.status == 413


async def test_form_over_its_limit_is_refused(backend: Backend) -> None:
    browser = backend.browser()
    answer = await browser.sign_in("admin", "x" * 100_000)
    assert answer.status == 413


async def test_nested_body_is_refused_and_costs_nothing(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/vehicles", b'{"vin":' + b"[" * 400_000)
    assert answer.status == 400
    assert await is_served(backend)


async def test_too_long_an_address_is_refused(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/vehicles", query={"regex": "x" * 9000})
    assert answer.status == 414


@pytest.mark.parametrize(
    ("begin", "drop"),
    [(b"", b""), (b"GET /", b"x"), (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"), (b"", b"\r\n")],
    ids=["silence", "letters", "headers", "line breaks"],
)
async def test_slow_head_is_cut_off_and_others_are_served(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, begin: bytes, drop: bytes
) -> None:
    monkeypatch.setattr(asgi_connection, "HEAD_TIMEOUT_S", 1.0)
    connections = [await RawConnection.open(backend.web.port) for _ in range(50)]
    started = time.monotonic()

    async def drip(connection: RawConnection) -> Heard:
        await connection.send(begin)
        for _ in range(20):
            await connection.send(drop)
            heard = await connection.listen(0.15)
            if heard.was_closed:
                return heard
        return await connection.listen(3.0)

    dripping = asyncio.gather(*(drip(connection) for connection in connections))
    assert await is_served(backend)
    heard = await dripping
    assert all(one.was_closed and one.content == b"" for one in heard)
    assert time.monotonic() - started < 5
    for connection in connections:
        connection.close()


async def test_next_slow_head_on_a_kept_connection_is_cut_off(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi_connection, "HEAD_TIMEOUT_S", 0.5)
    connection = await RawConnection.open(backend.web.port)
    await connection.send(b"GET /api/v1/vehicles HTTP/1.1\r\nHost: localhost\r\n\r\n")
    first = await connection.listen(0.3)
    assert (first.status, first.was_closed) == (401, False)
    await connection.send(b"GET /api/v1/ve")
    heard = await connection.listen(3.0)
    connection.close()
    assert (heard.answers, heard.was_closed) == (1, True)


async def test_slow_body_is_cut_off_and_others_are_served(
    backend: Backend, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_message, "READ_TIMEOUT_S", 0.7)
    monkeypatch.setattr(asgi_connection, "LINGER_S", 0.3)
    connections = [await RawConnection.open(backend.web.port) for _ in range(20)]
    for connection in connections:
        await connection.send(authorized(token) + b"Content-Length: 1000\r\n\r\n{")
    assert await is_served(backend)
    heard = await asyncio.gather(*(connection.listen(5.0) for connection in connections))
    assert [one.status for one in heard] == [408] * 20
    assert all(one.was_closed for one in heard)
    for connection in connections:
        connection.close()


async def test_upload_that_trickles_is_cut_off_and_leaves_nothing(
    backend: Backend, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes within its time: it is their rate that gives the attacker away."""
    monkeypatch.setattr(http_message, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(asgi_connection, "LINGER_S", 0.3)
    before = await files(backend)
    metadata = b'{"name":"%b","version":"1.0.0","installer":"deb"}' % new_name("slow").encode()
    kind, content = multipart(("metadata", metadata), ("file", b"x" * 100_000))
    head = f"POST /api/v1/packages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    connection = await RawConnection.open(backend.web.port)
    await connection.send(f"{head}Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode())
    await connection.send(content[:300])
    heard = await connection.listen(0.05)
    for _ in range(60):
        await connection.send(b"x")
        heard = await connection.listen(0.05)
        if heard.was_closed:
            break
    connection.close()
    assert (heard.status, heard.was_closed) == (408, True)
    assert await files(backend) == before


async def test_early_answer_ends_a_body_that_goes_on(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_connection, "LINGER_S", 0.5)
    connection = await RawConnection.open(backend.web.port)
    await connection.send(HEAD + b"Content-Length: 1000000000\r\n\r\n")  # without a token: 401 at once
    for _ in range(100):
        await connection.send(b"x" * 1000)
        heard = await connection.listen(0.05)
        if heard.was_closed:
            break
    heard = await connection.listen(0.1)
    connection.close()
    assert (heard.status, heard.was_closed) == (401, True)


async def test_who_does_not_read_his_answer_is_cut_off(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_connection, "WRITE_TIMEOUT_S", 0.7)
    name = new_name("large")
    answer = await backend.upload({"name": name, "version": "1.0.0", "installer": "deb"}, b"x" * (32 << 20))
    assert answer.status == 200
    token = await issue_token(backend.web.db, Role.VIEWER, name)
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.web.port, limit=1024)
    writer.write(
        f"GET /api/v1/packages/{name}/1.0.0/file HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    await asyncio.sleep(2.0)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):  # before the 32 MiB have come
        await reader.readexactly(32 << 20)
    writer.close()
    assert await is_served(backend)


async def files(backend: Backend) -> set[str]:
    await backend.web.uploads.sweep()
    return {str(path) for path in (backend.folder / "packages").rglob("*") if path.is_file()}
