"""Services behind an RVI node: how Core and the SOTA Client receive what a node hands to them.

A node posts JSON-RPC 2.0 to the address that the program registered, on a port of its own::

    POST /rvi/<secret>/start
    {"jsonrpc": "2.0", "id": 1, "method": "message",
     "params": {"service_name": "/sota/start", "parameters": [{…}], "peer": {"vin": "…", "credential": "…"}}}

Rules kept here:

* a service exists only as the handler of a declared row whose way is a ``Service`` of this program;
* at a path without the right secret there is nothing (404);
* the answer carries the row's HTTP status, and its text in ``result.message`` or ``error.message``
  (docs/specification.md, ruling 12);
* ``parameters`` is the one-element array of the SOTA programs, ``[null]`` where the message has no content;
* a handler that need not wait returns its reply, another one a coroutine: an answer without waiting needs no task.
"""

from __future__ import annotations

import functools
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from sota.boundaries.binding.call import Reply
from sota.boundaries.interaction import Interaction, Program, Service
from sota.boundaries.table import TABLE
from sota.kit.errors import Invalid, SotaError, StartError
from sota.kit.http.json_server import Answered
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger

Body = TypeVar("Body")
PARSE_ERROR, METHOD_NOT_FOUND, OWN_ERROR = -32700, -32601, -32100
CALLBACK_PREFIX = b"/rvi/"
NO_SUCH_PATH = b'{"type":"about:blank","status":404,"title":"Not Found","code":"not_found"}'
CallId = int | str | None


class Peer(msgspec.Struct, frozen=True):
    """The other side of the link, as our node proved it by certificate and credential."""

    vin: str | None = None
    credential: str | None = None


@dataclass(slots=True)
class Message(Generic[Body]):
    """One message for a service: ``service`` is its short name (``start``)."""

    row: Interaction
    service: str
    body: Body
    peer: Peer | None


class _Params(msgspec.Struct):
    service_name: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"[null]")
    peer: Peer | None = None
    services: list[str] = []


class _Callback(msgspec.Struct):
    """Any callback."""

    method: str
    params: _Params
    id: CallId = None


class _TypedParams(msgspec.Struct, Generic[Body]):
    service_name: str
    parameters: list[Body]
    peer: Peer | None = None


class _TypedMessage(msgspec.Struct, Generic[Body]):
    """A message whose body's type is known from the address that it came to: decoded once."""

    method: Literal["message"]
    params: _TypedParams[Body]
    id: CallId = None


ServiceHandler = Callable[[Message[Any]], Reply | Awaitable[Reply]]  # each handler has a body type of its own
AvailabilityListener = Callable[[list[str]], Awaitable[None]]
Guard = Callable[[Peer], None]
"""Checks the sender of a message; raises if its messages do not count."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """A service with its handler. ``decoder`` is None for messages without content."""

    row: Interaction
    service: str
    handler: ServiceHandler
    kind: Any  # a type, or what typing makes of one
    decoder: msgspec.json.Decoder[_TypedMessage[Any]] | None  # of any row's body


class RviServices:
    """The services of one program: Core's on side ``backend``, the SOTA Client's on side ``vehicle``.

    ``name`` is the program's in metrics and logs.
    """

    def __init__(self, program: Program, side: str, name: str) -> None:
        self._rows = {
            row.id: row
            for row in TABLE.values()
            if row.callee == program and isinstance(row.way, Service) and row.way.side == side
        }
        self._name = name
        self._bound: dict[str, _Bound] = {}
        self._listeners: dict[str, AvailabilityListener] = {}
        self._guard: Guard | None = None
        self._decoder = msgspec.json.Decoder(_Callback)
        self._log = get_logger(program=name)

    @property
    def names(self) -> list[str]:
        """The short names to register at the node."""
        return list(self._bound)

    def add(self, feature: object) -> None:
        """Bind every method of ``feature`` that serves a service row of this program.

        Raises:
            StartError: two handlers for one service.
        """
        for name in dir(type(feature)):
            handler: Any = getattr(feature, name, None)  # any attribute: what carries the mark is a handler
            for row_id in getattr(handler, "__serves__", ()):
                row = self._rows.get(row_id)
                if row is None or not isinstance(row.way, Service):
                    continue
                service = getattr(handler, "__service__", row.way.name)
                if service not in (row.way.name, *row.way.others):
                    raise StartError(f"{row_id} declares no service {service!r}")
                known = self._bound.get(service)
                if known is not None and known.handler != handler:
                    raise StartError(f"service {service!r} has two handlers")
                kind = row.request.get(service) if isinstance(row.request, dict) else row.request
                decoder = None if kind is None else msgspec.json.Decoder(_TypedMessage[kind])  # type: ignore[valid-type]
                self._bound[service] = _Bound(row, service, handler, kind, decoder)

    def on_availability(self, available: AvailabilityListener, unavailable: AvailabilityListener) -> None:
        """Call these when services of others come and go (full names)."""
        self._listeners = {"services_available": available, "services_unavailable": unavailable}

    def guard_by(self, guard: Guard) -> None:
        """Check the sender of every message, where the node names one."""
        self._guard = guard

    def answer_callback(
        self, row: Interaction, secret: str, target: bytes, content: bytes | bytearray
    ) -> Answered | Awaitable[Answered]:
        """Answer what a node posted to ``/rvi/<secret>/<service>``, and count it as a call of ``row``."""
        started = time.perf_counter()
        given, _, service = target[len(CALLBACK_PREFIX) :].partition(b"/")
        if not hmac.compare_digest(given, secret.encode()) or not target.startswith(CALLBACK_PREFIX) or b"/" in service:
            answer: Answered | Awaitable[Answered] = (404, NO_SUCH_PATH)
        else:
            answer = self.handle(service.decode("latin-1"), content)
        if isinstance(answer, tuple):
            metrics.count_answer(self._name, row.id, answer[0], time.perf_counter() - started)
            return answer
        return self._count_later(row, started, answer)

    async def _count_later(self, row: Interaction, started: float, pending: Awaitable[Answered]) -> Answered:
        answer = await pending
        metrics.count_answer(self._name, row.id, answer[0], time.perf_counter() - started)
        return answer

    def handle(self, service: str, content: bytes | bytearray) -> Answered | Awaitable[Answered]:
        """Answer a callback to the address of a service: HTTP status and JSON-RPC body."""
        bound = self._bound.get(service)
        if bound is not None and bound.decoder is not None:
            try:
                message = bound.decoder.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return self._handle_any(content)  # it says what is wrong, or it is another method
            params = message.params
            if len(params.parameters) == 1 and _short_name(params.service_name) == service:
                return self._call(bound, message.id, params.parameters[0], params.peer)
        return self._handle_any(content)

    def _handle_any(self, content: bytes | bytearray) -> Answered | Awaitable[Answered]:
        try:
            callback = self._decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return 400, _error(None, PARSE_ERROR, "not a JSON-RPC callback")
        params = callback.params
        if callback.method != "message":
            listener = self._listeners.get(callback.method)
            if listener is None:
                metrics.REFUSED.labels(self._name, "unknown_method").inc()
                return 404, _error(callback.id, METHOD_NOT_FOUND, "method not found")
            return _heard(listener, callback)
        bound = self._bound.get(_short_name(params.service_name))
        if bound is None:
            metrics.REFUSED.labels(self._name, "unknown_service").inc()
            return 404, _error(callback.id, METHOD_NOT_FOUND, "no such service")
        try:
            self._check(params.peer)  # before the body: a refused sender learns nothing about it
            body = _body(bound, params.parameters)
        except SotaError as error:
            return _refusal(bound.row, callback.id, error)
        return self._call(bound, callback.id, body, params.peer)

    def _call(self, bound: _Bound, call_id: CallId, body: object, peer: Peer | None) -> Answered | Awaitable[Answered]:
        try:
            self._check(peer)
            reply = bound.handler(Message(bound.row, bound.service, body, peer))
        except Exception as error:  # noqa: BLE001 - the process edge, see _failed
            return self._failed(bound, call_id, error)
        if isinstance(reply, Reply):
            return _answer(bound.row, call_id, reply)
        return self._finish(bound, call_id, reply)

    def _check(self, peer: Peer | None) -> None:
        if peer is not None and self._guard is not None:
            self._guard(peer)

    async def _finish(self, bound: _Bound, call_id: CallId, pending: Awaitable[Reply]) -> Answered:
        try:
            return _answer(bound.row, call_id, await pending)
        except Exception as error:  # noqa: BLE001 - the process edge, see _failed
            return self._failed(bound, call_id, error)

    def _failed(self, bound: _Bound, call_id: CallId, error: Exception) -> Answered:
        """Answer by a refusal; any other exception goes to the log, and the node gets an answer all the same."""
        if isinstance(error, SotaError):
            return _refusal(bound.row, call_id, error)
        self._log.error("service_crashed", service=bound.service, exc_info=error)
        return 500, _error(call_id, OWN_ERROR, "internal error")


async def _heard(listener: AvailabilityListener, callback: _Callback) -> Answered:
    await listener(callback.params.services)
    return 200, _result(callback.id, 200, None, {})


def _short_name(full_name: str) -> str:
    return full_name.rstrip("/").rpartition("/")[2]


def _body(bound: _Bound, parameters: msgspec.Raw) -> object:
    """Decode the body of a message that the typed decoder did not take, or find what is wrong with it."""
    if bound.kind is None:
        return None
    try:
        decoded = msgspec.json.decode(parameters, type=list[bound.kind])  # type: ignore[name-defined]
    except msgspec.DecodeError as error:
        raise Invalid(f"parameters: {error}") from None
    if len(decoded) != 1:
        raise Invalid("parameters must be an array of one element")
    return decoded[0]


def _answer(row: Interaction, call_id: CallId, reply: Reply) -> Answered:
    if reply.body is None and not reply.values:
        return _plain_answer(row.id, call_id, reply.outcome, reply.status)
    return _write_answer(row, call_id, reply)


@functools.lru_cache(maxsize=256)  # our node's calls all have one number, and most rows say one thing
def _plain_answer(row_id: str, call_id: CallId, outcome: str, status: int | None) -> Answered:
    return _write_answer(TABLE[row_id], call_id, Reply(outcome, status=status))


def _write_answer(row: Interaction, call_id: CallId, reply: Reply) -> Answered:
    outcome = row.outcome(reply.outcome)
    status = reply.status or (outcome.status if outcome is not None and outcome.status else 200)
    message = outcome.render(**reply.values) if outcome is not None else None
    if status >= 400:
        return status, _error(call_id, OWN_ERROR, message or reply.outcome, reply.outcome)
    return status, _result(call_id, status, message, reply.body or {})


def _refusal(row: Interaction, call_id: CallId, error: SotaError) -> Answered:
    outcome = row.outcome(error.code)
    status = outcome.status if outcome is not None and outcome.status else error.status
    title = outcome.render(**error.values) if outcome is not None else None
    return status, _error(call_id, OWN_ERROR, title or error.detail or error.title, error.code)


def _result(call_id: CallId, status: int, message: str | None, body: object) -> bytes:
    fields = body if isinstance(body, dict) else msgspec.to_builtins(body)
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "id": call_id, "result": {"status": 0, "http_status": status, "message": message, **fields}}
    )


def _error(call_id: CallId, code: int, message: str, name: str | None = None) -> bytes:
    error: dict[str, object] = {"code": code, "message": message}
    if name:
        error["data"] = {"code": name}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": call_id, "error": error})
