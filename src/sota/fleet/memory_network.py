"""The programs of one simulated vehicle, joined in memory instead of by sockets.

They still use HTTP's terms: method, path, headers, body bytes, status; the same rows of the whitelist answer. Only the
sockets are saved. Each :class:`MemoryNetwork` is a loopback of its own with its own ports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, Unpack
from urllib.parse import unquote, urlencode

from sota.boundaries.binding.call import WHOLE_BODY
from sota.kit.errors import StartError, Unavailable
from sota.kit.http.asgi_connection import AsgiApp
from sota.kit.http.client import HttpClient, Options, Response
from sota.kit.http.exchange import ReceivedMessage, SentMessage
from sota.kit.http.json_server import Handle
from sota.kit.http.network import Listener, Network

Handler = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Response] | Response]
"""Answers a request, given method, path with query, headers and body: at once where there is nothing to wait for."""
FIRST_FREE_PORT = 49_152
ANSWER_TIMEOUT_S = 30.0


class MemoryNetwork(Network):
    """The programs of one vehicle, in one process, joined without sockets."""

    def __init__(self) -> None:
        self.handlers: dict[int, Handler] = {}
        """What answers on a port."""

    def client(self, base_url: str, token: str | None = None) -> MemoryClient:
        """Return a client of a program that listens here."""
        return MemoryClient(self, base_url, token)

    def listener(self, app: AsgiApp, _host: str, port: int) -> Listener:
        """Return a listener for an ASGI application; there is only one host here."""
        return MemoryListener(self, asgi_handler(app), port)

    def json_server(self, program: str, handle: Handle, host: str, port: int, *, max_body: int) -> Listener:
        """Return a server of JSON requests."""
        del program, host, max_body  # both ends are ours
        return MemoryListener(self, json_handler(handle), port)

    def serve(self, port: int, handler: Handler) -> int:
        """Answer requests to a port, or to a free one for 0; returns it.

        Raises:
            StartError: the port is taken.
        """
        if port in self.handlers:
            raise StartError(f"port {port} is taken")
        port = port or next(free for free in range(FIRST_FREE_PORT, 1 << 16) if free not in self.handlers)
        self.handlers[port] = handler
        return port


class MemoryListener:
    """A handler on a port of a :class:`MemoryNetwork`."""

    def __init__(self, memory: MemoryNetwork, handler: Handler, port: int) -> None:
        self._memory, self._handler = memory, handler
        self.port = port

    async def start(self) -> None:
        """Take requests."""
        self.port = self._memory.serve(self.port, self._handler)

    async def stop(self) -> None:
        """Take no more; what is under way goes on."""
        self._memory.handlers.pop(self.port, None)


def json_handler(handle: Handle) -> Handler:
    """Return a handler that answers as a JSON server does."""

    async def wait(answered: Awaitable[tuple[int, bytes]]) -> Response:
        return json_response(*await answered)

    def answer(_method: str, target: str, _headers: Mapping[str, str], body: bytes) -> Response | Awaitable[Response]:
        answered = handle(target.encode("latin-1"), body)
        return json_response(*answered) if isinstance(answered, tuple) else wait(answered)

    return answer


def json_response(status: int, content: bytes) -> Response:
    """Return an answer of a JSON server."""
    return Response(status, {"content-type": "application/json"}, content)


def asgi_handler(app: AsgiApp) -> Handler:
    """Return a handler that answers by an ASGI application."""

    async def handle(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 0),
            WHOLE_BODY: body,
        }
        answer = Response(500, {}, b"")
        parts: list[bytes] = []

        async def receive() -> ReceivedMessage:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: SentMessage) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            else:
                parts.append(message.get("body", b""))

        await app(scope, receive, send)
        answer.body = b"".join(parts)
        return answer

    return handle


class MemoryClient(HttpClient):
    """Calls a program of the same :class:`MemoryNetwork`."""

    def __init__(self, memory: MemoryNetwork, base_url: str, token: str | None = None) -> None:
        super().__init__(base_url, token)
        self._memory = memory
        self._own_headers = {"authorization": f"Bearer {token}"} if token else {}

    async def request(self, method: str, path: str, **options: Unpack[Options]) -> Response:
        """Make a call and return the whole answer. The callee works on when the caller gives up, as over a socket.

        Raises:
            Unavailable: no program listens on the port, or it does not answer in time.
        """
        query, body = options.get("query"), options.get("body")
        content = body if isinstance(body, bytes) else b"" if body is None else b"".join([part async for part in body])
        handler = self._memory.handlers.get(self._pool.port)
        if handler is None:
            raise Unavailable(f"{self.base_url} is not reachable: nothing listens there.")
        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        given = {**self._own_headers, "content-length": str(len(content)), **(options.get("headers") or {})}
        answer = handler(method, target, given, content)
        if isinstance(answer, Response):
            return answer
        limit_s = options.get("timeout_s") or ANSWER_TIMEOUT_S
        answered = await wait_for(answer, limit_s)
        if answered is None:
            raise Unavailable(f"{self.base_url} did not answer within {limit_s:g} s.")
        return answered

    def stream(self, method: str, path: str, **_options: Unpack[Options]) -> NoReturn:
        """Refuse: between the programs of one vehicle every answer is short.

        Raises:
            Unavailable: always.
        """
        raise Unavailable(f"{method} {path}: answers are not streamed in memory.")


async def wait_for(answer: Awaitable[Response], limit_s: float = ANSWER_TIMEOUT_S) -> Response | None:
    """Wait for an answer; None if it does not come in time, while its program works on."""
    # Waiting does not cancel what is waited for, and costs half of a shield within a time-out.
    done, _ = await asyncio.wait((task := asyncio.ensure_future(answer),), timeout=limit_s)
    return task.result() if done else None
