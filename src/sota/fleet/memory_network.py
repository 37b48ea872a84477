"""The programs of one simulated vehicle, joined in memory instead of by sockets.

They still speak HTTP's words: method, path, headers, body bytes, status; the same rows of the whitelist answer. What is
saved is the sockets. Each :class:`MemoryNetwork` is a loopback of its own with its own ports.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from sota.boundaries.binding.call import WHOLE_BODY
from sota.kit.errors import StartError, Unavailable
from sota.kit.http.client import HttpClient, RequestBody, Response, StreamedResponse
from sota.kit.http.network import Listener
from sota.kit.http.protocol import Direct

Handler = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Response] | Response]
"""Answers a request: method, path with query, headers, body. Who need not wait for anything answers at once."""

JSON_ANSWER = {"content-type": "application/json", "cache-control": "no-store"}


class MemoryNetwork:
    """The programs of one vehicle, in one process, joined without sockets."""

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}

    def client(self, base_url: str, token: str | None = None) -> MemoryClient:
        """Give a client that looks for its program among those that listen here."""
        return MemoryClient(self, base_url, token)

    def listener(self, app: Any, host: str, port: int) -> Listener:
        """Give a listener for an ASGI application."""
        del host  # there is only one here
        return MemoryListener(self, app, port)

    def serve(self, port: int, handler: Handler) -> None:
        """Answer requests to a port.

        Raises:
            StartError: somebody does already.
        """
        if port in self._handlers:
            raise StartError(f"port {port} is taken")
        self._handlers[port] = handler

    def leave(self, port: int) -> None:
        """Answer no more."""
        self._handlers.pop(port, None)

    def find(self, port: int) -> Handler | None:
        """Find who answers on a port."""
        return self._handlers.get(port)


class MemoryListener:
    """An ASGI application on a port of a :class:`MemoryNetwork`."""

    def __init__(self, memory: MemoryNetwork, app: Any, port: int) -> None:
        self._memory, self._app = memory, app
        self.port = port

    async def start(self) -> None:
        """Take requests."""
        self._memory.serve(self.port, self._answer)

    async def stop(self) -> None:
        """Take no more; what is under way goes on."""
        self._memory.leave(self.port)

    def _answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response | Awaitable[Response]:
        direct: Direct | None = getattr(self._app, "direct", None)
        raw_target = target.encode("latin-1")
        if direct is None or method != "POST" or not raw_target.startswith(direct.prefix) or len(body) > direct.limit:
            return self._call(method, target, headers, body)
        answered = direct.answer_at_once(raw_target, body)
        if answered is None:
            return _answer_directly(direct, raw_target, body)
        return Response(answered[0], dict(JSON_ANSWER), answered[1])

    async def _call(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
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

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        answer.body = b"".join(parts)
        return answer


async def _answer_directly(direct: Direct, target: bytes, body: bytes) -> Response:
    status, content = await direct.answer(target, body)
    return Response(status, dict(JSON_ANSWER), content)


class MemoryClient(HttpClient):
    """Calls a program of the same :class:`MemoryNetwork`."""

    def __init__(self, memory: MemoryNetwork, base_url: str, token: str | None = None) -> None:
        super().__init__(base_url, token)
        parts = urlsplit(base_url)
        self._memory, self._path = memory, parts.path.rstrip("/")
        self._own_headers = {"authorization": f"Bearer {token}"} if token else {}
        self._limit_s = 30.0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: RequestBody = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Make a call and give the whole answer. Who is called works on when the caller gives up, as over a socket.

        Raises:
            Unavailable: nobody answers on the port, or not in time.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else b"".join([part async for part in body])
        target = path + (f"?{urlencode(query)}" if query else "")
        answer = self.begin(method, target, content, headers or {})
        return answer if isinstance(answer, Response) else await self.wait(answer, timeout_s)

    def begin(
        self, method: str, target: str, content: bytes, headers: Mapping[str, str]
    ) -> Response | asyncio.Future[Response]:
        """Make a call and give the whole answer where it is there at once, else what :meth:`wait` waits for.

        Raises:
            Unavailable: nobody answers on the port.
        """
        handler = self._memory.find(self._port)
        if handler is None:
            raise Unavailable(f"{self.base_url} is not reachable: nobody listens.")
        given = {**self._own_headers, "content-length": str(len(content)), **headers}
        answer = handler(method, self._path + target, given, content)
        return answer if isinstance(answer, Response) else asyncio.ensure_future(answer)

    async def wait(self, answer: asyncio.Future[Response], timeout_s: float | None = None) -> Response:
        """Wait for the answer to what :meth:`begin` began.

        Raises:
            Unavailable: it does not come in time.
        """
        # To wait does not cancel what is waited for, and costs half of a shield within a time-out.
        done, _ = await asyncio.wait((answer,), timeout=timeout_s or self._limit_s)
        if not done:
            raise Unavailable(f"{self.base_url} did not answer within {timeout_s or self._limit_s:g} s.")
        return answer.result()

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: RequestBody = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        """Refuse: between the programs of one vehicle every answer is short.

        Raises:
            Unavailable: always.
        """
        del query, body, headers, timeout_s
        raise Unavailable(f"{method} {path}: answers are not streamed in memory.")
        yield  # pragma: no cover - makes this a generator, as what it replaces is
