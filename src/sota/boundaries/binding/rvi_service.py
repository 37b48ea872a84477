"""Services behind an RVI node: how Core and the SOTA Client receive what a node hands to them.

A node posts JSON-RPC 2.0 to the address that the program registered::

    POST /rvi/<secret>/start
    {"jsonrpc": "2.0", "id": 1, "method": "message",
     "params": {"service_name": "/sota/start", "parameters": [{…}], "peer": {"vin": "…", "credential": "…"}}}

Rules kept here:

* a service exists only as the handler of a declared row whose way is a ``Service`` of this program;
* the answer carries the row's HTTP status, and its text in ``result.message`` or ``error.message``
  (docs/specification.md, ruling 12);
* ``parameters`` is the one-element array of the SOTA programs, ``[null]`` where there is nothing to say.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.interaction import Interaction, Program, Service
from sota.boundaries.table import TABLE
from sota.kit.errors import Invalid, NotFound, SotaError, StartError
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger

Body = TypeVar("Body")
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, OWN_ERROR = -32700, -32600, -32601, -32602, -32100
MAX_CALLBACK_BYTES = 4 << 20


class Peer(msgspec.Struct, frozen=True):
    """Who is on the other end of the link, as our node proved it by certificate and credential."""

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
    method: str
    params: _Params
    id: int | str | None = None


class _PlainParams(msgspec.Struct, Generic[Body]):
    service_name: str
    parameters: list[Body]
    peer: Peer | None = None


class _PlainMessage(msgspec.Struct, Generic[Body]):
    """A message whose body's type is known from the address that it came to."""

    method: str
    params: _PlainParams[Body]
    id: int | str | None = None


ServiceHandler = Callable[[Message[Any]], Awaitable[Reply]]
HandlerAtOnce = Callable[[Message[Any]], Reply | None]
"""Handles a message without waiting for anything; None where that cannot be, and nothing was done."""
AvailabilityListener = Callable[[list[str]], Awaitable[None]]
Guard = Callable[[Peer], None]
"""Looks at the sender of a message; raises for one whose messages do not count."""


class RviServices:
    """The services of one program: Core's on side ``backend``, the SOTA Client's on side ``vehicle``."""

    def __init__(self, program: Program, side: str) -> None:
        self._rows = {
            row.id: row
            for row in TABLE.values()
            if row.callee == program and isinstance(row.way, Service) and row.way.side == side
        }
        self._program = program
        self._handlers: dict[str, tuple[Interaction, ServiceHandler, Any]] = {}
        self._at_once: dict[str, tuple[Interaction, HandlerAtOnce, msgspec.json.Decoder[Any]]] = {}
        self._available: AvailabilityListener | None = None
        self._unavailable: AvailabilityListener | None = None
        self._guard: Guard | None = None
        self._decoder = msgspec.json.Decoder(_Callback)
        self._log = get_logger(program=str(program))

    @property
    def names(self) -> list[str]:
        """The short names to register at the node."""
        return list(self._handlers)

    def add(self, feature: object) -> None:
        """Bind every method of ``feature`` that serves a service row of this program.

        Raises:
            StartError: two handlers for one service.
        """
        for name in dir(type(feature)):
            handler: Any = getattr(feature, name, None)
            for row_id in getattr(handler, "__serves__", ()):
                row = self._rows.get(row_id)
                if row is None or not isinstance(row.way, Service):
                    continue
                service = getattr(handler, "__service__", row.way.name)
                if service not in (row.way.name, *row.way.others):
                    raise StartError(f"{row_id} declares no service {service!r}")
                known = self._handlers.get(service)
                if known is not None and known[1] != handler:
                    raise StartError(f"service {service!r} has two handlers")
                self._handlers[service] = (row, handler, _body_type(row, service))
            quick = self._rows.get(getattr(handler, "__serves_at_once__", ""))
            if quick is not None and isinstance(quick.way, Service):
                decoder: Any = msgspec.json.Decoder(_PlainMessage[quick.request])  # type: ignore[name-defined]
                self._at_once[quick.way.name] = (quick, handler, decoder)

    def on_availability(self, available: AvailabilityListener, unavailable: AvailabilityListener) -> None:
        """Tell these when services of others come and go (full names)."""
        self._available, self._unavailable = available, unavailable

    def guard_by(self, guard: Guard) -> None:
        """Have the sender of every message looked at, where the node names one."""
        self._guard = guard

    async def handle(self, content: bytes) -> tuple[int, bytes]:
        """Answer one callback: HTTP status and JSON-RPC body."""
        try:
            callback = self._decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return 400, _error(None, PARSE_ERROR, "not a JSON-RPC callback")
        if callback.method == "message":
            return await self._dispatch(callback)
        listener = {"services_available": self._available, "services_unavailable": self._unavailable}.get(
            callback.method
        )
        if listener is None:
            metrics.REFUSED.labels(str(self._program), "unknown_method").inc()
            return 404, _error(callback.id, METHOD_NOT_FOUND, "method not found")
        await listener(callback.params.services)
        return 200, _result(callback.id, 200, None, {})

    def handle_at_once(self, service: str, content: bytes) -> tuple[int, bytes] | None:
        """Answer a message for this service as :meth:`handle` does, without waiting; None where that cannot be."""
        known = self._at_once.get(service)
        if known is None:
            return None
        row, handler, decoder = known
        try:
            message = decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # the ordinary way says what is wrong with it
        params = message.params
        named = params.service_name.rstrip("/").rpartition("/")[2]
        if message.method != "message" or named != service or len(params.parameters) != 1:
            return None
        try:
            if params.peer is not None and self._guard is not None:
                self._guard(params.peer)
            reply = handler(Message(row, service, params.parameters[0], params.peer))
        except SotaError as error:
            return _refusal(row, message.id, error)
        except Exception:  # noqa: BLE001 - the process edge: the node gets an answer, the log the reason
            return self._crash(service, message.id)
        return None if reply is None else _answer(row, message.id, reply)

    async def _dispatch(self, callback: _Callback) -> tuple[int, bytes]:
        service = callback.params.service_name.rstrip("/").rpartition("/")[2]
        known = self._handlers.get(service)
        if known is None:
            metrics.REFUSED.labels(str(self._program), "unknown_service").inc()
            return 404, _error(callback.id, METHOD_NOT_FOUND, "no such service")
        row, handler, kind = known
        peer = callback.params.peer
        try:
            if peer is not None and self._guard is not None:
                self._guard(peer)
            reply = await handler(Message(row, service, _first(callback.params.parameters, kind), peer))
        except SotaError as error:
            return _refusal(row, callback.id, error)
        except Exception:  # noqa: BLE001 - the process edge: the node gets an answer, the log the reason
            return self._crash(service, callback.id)
        return _answer(row, callback.id, reply)

    def _crash(self, service: str, call_id: Any) -> tuple[int, bytes]:
        self._log.exception("service_crashed", service=service)
        return 500, _error(call_id, OWN_ERROR, "internal error")


class DirectCallbacks:
    """Answers callbacks without a call of the binder; see :meth:`sota.boundaries.binding.app.App.answer_directly`."""

    PREFIX = "/rvi/"

    def __init__(self, services: RviServices, secret: Callable[[], str]) -> None:
        self._services, self._secret = services, secret

    async def answer(self, path: bytes, content: bytes) -> tuple[int, bytes]:
        """Answer what was posted to ``/rvi/<secret>/<service>``; nothing stands at a path without the right secret."""
        secret, _, service = path[len(self.PREFIX) :].partition(b"/")
        if b"/" in service or not hmac.compare_digest(secret, self._secret().encode()):
            return 404, NO_SUCH_PATH
        return await self._services.handle(content)

    def answer_at_once(self, path: bytes, content: bytes) -> tuple[int, bytes] | None:
        """Answer without waiting what can be answered so; None for anything else."""
        secret, _, service = path[len(self.PREFIX) :].partition(b"/")
        if not hmac.compare_digest(secret, self._secret().encode()):
            return None
        return self._services.handle_at_once(service.decode("latin-1"), content)


NO_SUCH_PATH = b'{"type":"about:blank","status":404,"title":"Not Found","code":"not_found"}'


async def answer_callback(services: RviServices, call: Call[Any], secret: str) -> Reply:
    """Answer a callback that came over HTTP: nothing stands at a path without the right secret."""
    if not hmac.compare_digest(call.path["secret"].encode(), secret.encode()):
        raise NotFound("There is no such path.")
    status, content = await services.handle(await call.read(MAX_CALLBACK_BYTES))
    return Reply("answered", raw=content, status=status)


def _body_type(row: Interaction, service: str) -> Any:
    if isinstance(row.request, dict):  # a row with several services says the body of each
        return row.request.get(service)
    return row.request


def _first(parameters: msgspec.Raw, kind: Any) -> Any:
    try:
        if kind is None:
            return None
        decoded = msgspec.json.decode(parameters, type=list[kind])
    except msgspec.DecodeError as error:
        raise Invalid(f"parameters: {error}") from None
    if len(decoded) != 1:
        raise Invalid("parameters must be an array of one element")
    return decoded[0]


def _answer(row: Interaction, call_id: Any, reply: Reply) -> tuple[int, bytes]:
    if reply.body is None and not reply.values:
        return _plain_answer(row.id, call_id, reply.outcome, reply.status)
    return _write_answer(row, call_id, reply)


@functools.lru_cache(maxsize=256)  # our node's calls all have one number, and most rows say one thing
def _plain_answer(row_id: str, call_id: Any, outcome: str, status: int | None) -> tuple[int, bytes]:
    return _write_answer(TABLE[row_id], call_id, Reply(outcome, status=status))


def _write_answer(row: Interaction, call_id: Any, reply: Reply) -> tuple[int, bytes]:
    outcome = row.outcome(reply.outcome)
    status = reply.status or (outcome.status if outcome is not None and outcome.status else 200)
    message = outcome.say(**reply.values) if outcome is not None else None
    if status >= 400:
        return status, _error(call_id, OWN_ERROR, message or reply.outcome, reply.outcome)
    return status, _result(call_id, status, message, reply.body or {})


def _refusal(row: Interaction, call_id: Any, error: SotaError) -> tuple[int, bytes]:
    outcome = row.outcome(error.code)
    status = outcome.status if outcome is not None and outcome.status else error.status
    title = outcome.say(**error.values) if outcome is not None else None
    return status, _error(call_id, OWN_ERROR, title or error.detail or error.title, error.code)


def _result(call_id: Any, status: int, message: str | None, body: Any) -> bytes:
    fields = body if isinstance(body, dict) else msgspec.to_builtins(body)
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "id": call_id, "result": {"status": 0, "http_status": status, "message": message, **fields}}
    )


def _error(call_id: Any, code: int, message: str, name: str | None = None) -> bytes:
    error: dict[str, Any] = {"code": code, "message": message}
    if name:
        error["data"] = {"code": name}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": call_id, "error": error})
