"""The binder: turns rows into routes of an ASGI application, and outcomes into answers.

Rules kept here:

* a route exists only as the handler of a declared interaction: :meth:`App.check` fails otherwise;
* path, query and body are decoded into the types that the row declares, or the request is refused;
* a handler names an outcome, the row gives its status and literal message;
* a request outside the table is refused and counted; no internals leak into an answer (RFC 9457
  problem+json).

>>> app = App("core", rows_for(Program.SOTA_CORE), authenticate)      # doctest: +SKIP
>>> app.add(VehiclesApi(db)); app.check()                             # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sota.boundaries.binding.call import AnyCall, Authenticator, Call, Event, Handler, Receive, Reply, Send
from sota.boundaries.binding.query import decode_query, read_key, split_query
from sota.boundaries.binding.routing import Route, Router
from sota.boundaries.interaction import Interaction, by_route
from sota.boundaries.parameters import path_type
from sota.boundaries.wording import in_words
from sota.kit.errors import (
    Failed,
    Invalid,
    Refused,
    SotaError,
    StartError,
    TooLong,
    Unauthenticated,
    Unavailable,
    Unreadable,
    Unsupported,
)
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger

HANDLER_TIMEOUT_S = 120.0
NOT_MODIFIED = 304
# When to try again what a neighbour or a store cannot do now.
RETRY_AFTER_S = 5
MAX_URL_BYTES = 8192
NOT_ADMITTED = "Authentication Failed"
ALWAYS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class App:
    """The HTTP side of one program."""

    def __init__(
        self,
        program: str,
        rows: Iterable[Interaction],
        authenticate: Authenticator | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program
        self.router = Router()
        self._rows = {row.id: row for row in rows}
        self._authenticate = authenticate
        self._headers = {**ALWAYS, **(headers or {})}
        self._decoders: dict[str, msgspec.json.Decoder[object]] = {}
        self._log = get_logger(program=program)

    def add(self, *features: object) -> None:
        """Bind every method of these objects that ``@serves`` HTTP rows of this program."""
        for feature in features:
            for name in dir(type(feature)):
                handler: Any = getattr(feature, name, None)  # any attribute: what carries the mark is a handler
                rows = [self._rows[row_id] for row_id in getattr(handler, "__serves__", ()) if row_id in self._rows]
                for (method, path), same in by_route(rows).items():
                    self.route(method, path, handler, tuple(same))

    def route(self, method: str, path: str, handler: Handler, rows: tuple[Interaction, ...] = ()) -> None:
        """Add one route. ``rows`` must be declared ones with this method and path, or :meth:`check` fails."""
        self.router.add(Route(method, path, handler, rows))

    def check(self) -> None:
        """Make sure that every route is a declared interaction of this program.

        Raises:
            StartError: one is not.
        """
        for route in self.router.routes:
            declared = [
                row
                for row in route.rows
                if self._rows.get(row.id) is row and (row.http.method, row.http.path) == (route.method, route.path)
            ]
            if not declared:
                raise StartError(
                    f"{self.program}: {route.method} {route.path} is not a declared interaction: "
                    "declare it in sota/boundaries or remove the route"
                )

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one ASGI request."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        interaction = "none"
        call: AnyCall | None = None
        try:
            call, route, values = self._accept(scope, receive)
            interaction = call.row.id
            await self._admit(call, route, values)
            interaction = call.row.id
            async with asyncio.timeout(HANDLER_TIMEOUT_S if call.row.http.max_body is not None else None):
                reply = await route.handler(call)
            status = await self._send_reply(call, reply, send)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the process edge: any failure becomes an answer, and nothing leaks
            status = await self._send_problem(call, self._as_problem(error, call), send)
        metrics.count_answer(self.program, interaction, status, time.perf_counter() - started)

    def _accept(self, scope: Event, receive: Receive) -> tuple[AnyCall, Route, dict[str, str]]:
        raw_path: bytes = scope["raw_path"]
        if len(raw_path) + len(scope["query_string"]) > MAX_URL_BYTES:
            self._refuse("url_too_long")
            raise TooLong(f"Path and query may have {MAX_URL_BYTES} bytes at most.")
        try:
            route, values = self.router.find(scope["method"], raw_path)
        except SotaError as error:
            self._refuse(error.code)
            raise
        call: AnyCall = Call(
            row=route.rows[0],
            method=scope["method"],
            url_path=scope["path"],
            raw_query=split_query(scope["query_string"]),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            client=scope["client"][0] if scope.get("client") else "",
            scheme=scope.get("scheme", "http"),
            receive=receive,
            scope=scope,
        )
        call.row = _select(route.rows, call.raw_query)
        return call, route, values

    async def _admit(self, call: AnyCall, route: Route, values: dict[str, str]) -> None:
        if self._authenticate is not None:
            call.caller = await self._authenticate(call)
            program = getattr(call.caller, "program", None)
            own = route.rows if program is None else [row for row in route.rows if row.caller == program]
            if not own:  # a credential of one boundary is worth nothing on another
                self._refuse("wrong_caller")
                raise Refused("unauthenticated", f"{program} may not make this call.", status=404, title=NOT_ADMITTED)
            call.row = _select(own, call.raw_query)
        way = call.row.http
        call.query = decode_query(way.query, call.raw_query)
        kind = path_type(way.path)
        if kind is not None:
            try:
                call.path = msgspec.convert(values, kind, strict=False)
            except msgspec.ValidationError as error:
                raise Invalid(f"The path: {in_words(error)}.") from None
        if way.keyed:
            call.key = read_key(call.headers)
        if call.row.request is not None and way.max_body is not None:
            call.body = await self._read_body(call, way.max_body)

    async def _read_body(self, call: AnyCall, limit: int) -> object:
        if call.row.request is bytes:
            return await call.read(limit)
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Unsupported("The body must be application/json.")
        content = await call.read(limit)
        decoder = self._decoders.get(call.row.id)
        if decoder is None:
            decoder = self._decoders[call.row.id] = msgspec.json.Decoder(call.row.request)
        try:
            return decoder.decode(content)
        except msgspec.ValidationError as error:
            raise Invalid(f"{in_words(error)}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"The body is not JSON: {error}.") from None

    async def _send_reply(self, call: AnyCall, reply: Reply, send: Send) -> int:
        row = reply.row or call.row
        outcome = row.outcome(reply.outcome)
        status = reply.status or (outcome.status if outcome is not None else None)
        if status is None:
            raise LookupError(f"{row.id} declares no outcome {reply.outcome!r}")
        message = outcome.render(**reply.values) if outcome is not None else None
        headers = {**self._headers, "content-type": reply.content_type, **reply.headers}
        if reply.stream is not None:
            await _start(send, status, headers, reply.cookies)
            try:
                await _send_parts(call, reply.stream, send)
            except SotaError as error:  # too late for another answer: the connection ends before this one does
                self._log.error("answer_broken_off", interaction=row.id, detail=error.detail, exc_info=error.__cause__)
            return status
        content = reply.raw if reply.raw is not None else msgspec.json.encode(_with_message(reply.body, message))
        if status != NOT_MODIFIED:  # its length would be that of the answer which the caller has
            headers["content-length"] = str(len(content))
        await _start(send, status, headers, reply.cookies)
        await send({"type": "http.response.body", "body": content})
        return status

    async def _send_problem(self, call: AnyCall | None, error: SotaError, send: Send) -> int:
        row = call.row if call is not None else None
        # Having no session (401) is never a row's outcome, not even where a row has one of that name for a credential.
        is_declared = row is not None and not isinstance(error, Unauthenticated)
        outcome = row.outcome(error.code) if row is not None and is_declared else None
        status, title = error.status, error.title
        if outcome is not None and outcome.status is not None:
            status, title = outcome.status, outcome.render(**error.values) or error.title
        problem = {"type": "about:blank", "title": title, "status": status, "code": error.code}
        if error.detail:
            problem["detail"] = error.detail
        if row is not None:
            problem["interaction"] = row.id
        content = msgspec.json.encode(problem)
        headers = {**self._headers, "content-type": "application/problem+json", "content-length": str(len(content))}
        if status == Unavailable.status:
            headers["retry-after"] = str(RETRY_AFTER_S)
        headers.update(error.headers)
        await _start(send, status, headers)
        await send({"type": "http.response.body", "body": content})
        return status

    def _as_problem(self, error: Exception, call: AnyCall | None) -> SotaError:
        if isinstance(error, Unreadable) and (call is None or call.row.outcome(error.code) is None):
            return Invalid(error.detail)
        if isinstance(error, SotaError):
            if error.status >= 500 and error.status != Unavailable.status:
                self._log.error("request_failed", interaction=call.row.id if call else None, detail=error.detail)
            return error
        if isinstance(error, TimeoutError):
            return Unavailable("The request took too long.")
        self._log.error("request_crashed", interaction=call.row.id if call else None, exc_info=error)
        return Failed("Something failed on our side; it is in the log.")

    def _refuse(self, reason: str) -> None:
        metrics.REFUSED.labels(self.program, reason).inc()


def _select(rows: Sequence[Interaction], query: Mapping[str, str]) -> Interaction:
    if len(rows) == 1:
        return rows[0]
    plain = [row for row in rows if row.http.selected_by is None]
    return next((row for row in rows if row.http.selected_by in query), plain[0] if plain else rows[0])


def _with_message(body: object, message: str | None) -> object:
    if message is None or isinstance(body, (list, tuple)):
        return {} if body is None else body
    fields = body if isinstance(body, dict) else msgspec.to_builtins(body) if body is not None else {}
    return {"message": message, **fields}


async def _send_parts(call: AnyCall, parts: AsyncIterator[bytes], send: Send) -> None:
    """Send a body part by part; stop when the client disconnects (the listener drops slow readers)."""
    # A request without a body sends nothing more than its disconnect.
    listens = call.method == "GET"
    gone = asyncio.create_task(_disconnected(call), name="disconnect") if listens else None
    try:
        async for part in parts:
            if gone is not None and gone.done():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        if gone is not None:
            gone.cancel()
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()


async def _disconnected(call: AnyCall) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass


@functools.lru_cache(maxsize=256)  # most answers carry the same headers
def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    return name.encode("latin-1"), value.encode("latin-1")


async def _start(send: Send, status: int, headers: Mapping[str, str], cookies: Iterable[str] = ()) -> None:
    raw = [_encoded(name, value) for name, value in headers.items()]
    raw += [(b"set-cookie", cookie.encode("latin-1")) for cookie in cookies]
    await send({"type": "http.response.start", "status": status, "headers": raw})
