"""HTTP as an attacker writes it: bytes on a socket, and what comes back."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Heard:
    """Everything that came back, and whether the server ended the connection."""

    content: bytes
    was_closed: bool

    @property
    def status(self) -> int:
        """The status of the first answer, 0 where there was none."""
        words = self.content.split(b" ", 2)
        return int(words[1]) if len(words) > 2 else 0

    @property
    def answers(self) -> int:
        """How many answers there were."""
        return self.content.count(b"HTTP/1.1 ")


class RawConnection:
    """One connection to a server on this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.content, self.was_closed = b"", False

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None) -> RawConnection:
        """Connect."""
        name = "localhost" if tls is not None else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))

    async def send(self, content: bytes) -> None:
        """Send bytes; the server may have closed the connection meanwhile."""
        try:
            self._writer.write(content)
            await self._writer.drain()
        except OSError:
            self.was_closed = True

    async def listen(self, timeout_s: float) -> Heard:
        """Read until the server closes, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                while part := await self._reader.read(1 << 16):
                    self.content += part
                self.was_closed = True
        except TimeoutError:
            pass
        except OSError:
            self.was_closed = True
        return Heard(self.content, self.was_closed)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def say(port: int, content: bytes, *, timeout_s: float = 5.0) -> Heard:
    """Send bytes over a new connection; return the answer."""
    connection = await RawConnection.open(port)
    try:
        await connection.send(content)
        return await connection.listen(timeout_s)
    finally:
        connection.close()


async def call_as_rvi_core(address: str, method: str, params: str) -> tuple[int, bytes]:
    """Call a service at the address that it registered, byte by byte as a real rvi_core 0.5.1 does; status and body.

    There is no port in ``Host``, no sender, and the id is always 1.
    """
    url = urlsplit(address)
    body = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}'.encode()
    head = f"POST {url.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(answer.split(b" ", 2)[1]), await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()
