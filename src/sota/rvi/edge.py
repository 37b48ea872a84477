"""The service edge: JSON-RPC 2.0 for the programs beside the node, as rvi_core speaks it.

* ``register_service``: ``service`` (``/sota/start``), ``network_address`` → ``service``, the full name
* ``unregister_service``: ``service``, the full name
* ``message``: ``service_name`` (full), ``timeout``, ``parameters`` → ``transaction_id``, -1 for a local service
* ``get_available_services`` → ``services``
* ``get_node_service_prefix``: ``full``, false for the first element only → ``node_service_prefix``
* ``schedule_update`` (ours): an array of updates → ``vins``
* ``unschedule_update`` (ours): an array of ``{"vin", "update_id"}`` → ``vins``

``message`` is answered when the message is sent or durable, which is all that this answer says. ``timeout`` is in
unix seconds; a number that would be more than a day ago counts as milliseconds from now, and one beyond the year 5000
as unix milliseconds. For a local service the answer carries its own in ``answer`` if it comes in time.

An unknown method has the result ``{"status": 1}``; what is refused is an ``error`` with the code of rvi_core and a
text of ours.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.boundaries.b7_core_rvi.rows import SCHEDULE_UPDATE
from sota.boundaries.binding.decorators import serves
from sota.kit.errors import Invalid, SotaError
from sota.kit.http.client import Response
from sota.kit.http.json_server import Answered, JsonServer
from sota.kit.runtime import metrics
from sota.rvi.callback import Address, HttpAddress
from sota.rvi.codec import pack
from sota.rvi.edge_requests import (
    MessageParams,
    MessageRequest,
    PrefixParams,
    RegisterParams,
    Request,
    UnregisterParams,
)
from sota.rvi.large_request import LARGE_BYTES, LargeParameters, LargeRequestReader
from sota.rvi.message import Message
from sota.rvi.settings import NodeSettings

PARSE_ERROR, INTERNAL_ERROR = -32700, -32603
UNKNOWN_METHOD: dict[str, object] = {"status": 1}
LOCAL_TRANSACTION = -1
A_DAY_S = 86_400
FIRST_MILLISECONDS = 100_000_000_000
MAX_KEEP_S = 2 * 366 * A_DAY_S
KEPT_TEXTS_BYTES = 16 << 20
ENVELOPE_BYTES = 64 << 10

Result = dict[str, object]
Update = TypeVar("Update", ScheduledUpdate, UnscheduledUpdate)


class EdgeNode(Protocol):
    """What the edges need of their node."""

    settings: NodeSettings

    def check(self, service: str) -> None: ...
    def is_local(self, service: str) -> bool: ...
    def send_now(self, message: Message) -> bool: ...
    async def queue(self, message: Message) -> None: ...
    async def ask(self, message: Message) -> Response | None: ...
    def register(self, local_name: str, address: Address) -> str: ...
    def unregister(self, name: str) -> None: ...
    def unregister_all(self, url: str) -> None: ...
    def known_services(self) -> list[str]: ...
    async def schedule(self, updates: Sequence[ScheduledUpdate]) -> list[str]: ...
    async def unschedule(self, updates: Sequence[UnscheduledUpdate]) -> list[str]: ...


class Edge:
    """Answers the calls of local services."""

    def __init__(self, node: EdgeNode) -> None:
        self._node = node
        self._requests = msgspec.json.Decoder(Request)
        self._message_requests = msgspec.json.Decoder(MessageRequest)
        self._message_params = msgspec.json.Decoder(MessageParams)
        self._large = LargeRequestReader(KEPT_TEXTS_BYTES if node.settings.role == "server" else 0)
        self._transaction = 0
        self._methods: dict[str, Callable[[msgspec.Raw], Result | Awaitable[Result]]] = {
            "message": self.message,
            "register_service": self.register_service,
            "unregister_service": self.unregister_service,
            "get_available_services": self.get_available_services,
            "get_node_service_prefix": self.get_node_service_prefix,
        }
        if node.settings.role == "server":
            self._methods |= {"schedule_update": self.schedule_update, "unschedule_update": self.unschedule_update}

    def handle(self, content: bytes | bytearray) -> Answered | Awaitable[Answered]:
        """Answer one request: HTTP status and body, at once where there is nothing to wait for."""
        try:
            read = self._large.read(content, self._message_requests.decode) if len(content) >= LARGE_BYTES else None
            message, large = read or (self._message_requests.decode(content), None)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._handle_any(content)
        call_id = bytes(message.id)
        try:
            result = self.take(message.params, large)
        except REFUSALS as error:
            return _refusal(call_id, error)
        if isinstance(result, int):
            return 200, _MESSAGE_RESULT % (call_id, result) if call_id else b""
        return self._finish(call_id, result)

    def _handle_any(self, content: bytes | bytearray) -> Answered | Awaitable[Answered]:
        if content[:1] == b"[":
            return 501, b""
        try:
            request = self._requests.decode(content)
            if request.jsonrpc != "2.0" or request.method is None or not bytes(request.params):
                raise ValueError("no JSON-RPC")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return 200, _error(b"", PARSE_ERROR, "json error")
        return self._call(request.method, request.params, bytes(request.id))

    def _call(self, name: str, params: msgspec.Raw, call_id: bytes) -> Answered | Awaitable[Answered]:
        method = self._methods.get(name)
        if method is None:
            metrics.REFUSED.labels("rvi-node", "unknown_method").inc()
            return 200, _result(call_id, UNKNOWN_METHOD)
        try:
            result = method(params)
        except REFUSALS as error:
            return _refusal(call_id, error)
        if isinstance(result, dict):
            return 200, _result(call_id, result)
        return self._finish(call_id, result)

    async def _finish(self, call_id: bytes, pending: Awaitable[Result]) -> Answered:
        try:
            return 200, _result(call_id, await pending)
        except REFUSALS as error:
            return _refusal(call_id, error)

    @serves(
        "WL-B7-2", "WL-B7-4", "WL-B7-5", "WL-B7-6", "WL-B7-8", "X-B7-2", "X-B7-5", "X-B7-14", "X-B7-31",
        "WL-B9-2", "WL-B9-6", "X-B9-30", "X-B9-1", "X-B9-5", "X-B9-10", "X-B9-12", "X-B9-13", "WL-B10-3",
    )  # fmt: skip
    def message(self, params: msgspec.Raw) -> Result | Awaitable[Result]:
        """Take a message for any service."""
        result = self.take(self._message_params.decode(params))
        return message_result(result) if isinstance(result, int) else result

    def take(self, content: MessageParams, large: LargeParameters | None = None) -> int | Awaitable[Result]:
        """Take a message; ``large`` is what its parameters really are. Gives its transaction if it is sent at once."""
        node, service, now = self._node, content.service_name, time.time()
        node.check(service)
        parameters = bytes(content.parameters)
        if parameters[:1] not in (b"{", b"["):
            raise Invalid("parameters must be an object or an array")
        deadline = read_timeout(content.timeout, now)
        # What has no form in msgpack is refused here, where the sender hears of it, and not on the link.
        packed = (pack(msgspec.json.decode(parameters)),) if large is None else large.packed
        whole = parameters if large is None else large.parameters
        message = Message(service, whole, int(deadline * 1000), deadline, packed=packed)
        if node.is_local(service):
            return self._ask(message)
        self._transaction += 1
        if deadline <= now or node.send_now(message):
            return self._transaction
        return self._queue(message, message_result(self._transaction))

    @serves("X-B7-3", "X-B9-3")
    def register_service(self, params: msgspec.Raw) -> Result:
        """Register a service of the calling program."""
        content = msgspec.json.decode(params, type=RegisterParams)
        name = self._node.register(content.service, HttpAddress(content.network_address))
        return {"status": 0, "service": name, "method": "register_service"}

    @serves("X-B7-4", "X-B9-4")
    def unregister_service(self, params: msgspec.Raw) -> Result:
        """Forget a service, by its full name."""
        content = msgspec.json.decode(params, type=UnregisterParams)
        self._node.unregister(content.service)
        return {"status": 0, "method": "unregister_service"}

    @serves("X-B7-6", "X-B9-6")
    def get_available_services(self, _params: msgspec.Raw) -> Result:
        """Name the services that are known now, whatever the params are."""
        return {"status": 0, "services": self._node.known_services(), "method": "get_available_services"}

    @serves("X-B7-7", "X-B9-7")
    def get_node_service_prefix(self, params: msgspec.Raw) -> Result:
        """Return what this node's names begin with."""
        prefix = self._node.settings.prefix_path
        content = msgspec.json.decode(params, type=PrefixParams) if bytes(params)[:1] == b"{" else PrefixParams()
        if content.full not in (0, 1):
            return {**UNKNOWN_METHOD, "method": "get_node_service_prefix"}
        shown = prefix if content.full else prefix.partition("/")[0]
        return {"status": 0, "node_service_prefix": shown, "method": "get_node_service_prefix"}

    @serves("WL-B7-1")
    async def schedule_update(self, params: msgspec.Raw) -> Result:
        """Remember which vehicles are waited for."""
        vins = await _change_schedule(params, ScheduledUpdate, self._node.schedule)
        return {"status": 0, "vins": vins, "method": "schedule_update"}

    @serves("WL-B7-1")
    async def unschedule_update(self, params: msgspec.Raw) -> Result:
        """Forget it again."""
        vins = await _change_schedule(params, UnscheduledUpdate, self._node.unschedule)
        return {"status": 0, "vins": vins, "method": "unschedule_update"}

    async def _queue(self, message: Message, result: Result) -> Result:
        await self._node.queue(message)
        return result

    async def _ask(self, message: Message) -> Result:
        result = message_result(LOCAL_TRANSACTION)
        response = await self._node.ask(message)
        if response is not None and response.body:
            result["answer"] = {"status": response.status, "body": _json_or_null(response)}
        return result


def edge_server(edge: Edge, settings: NodeSettings) -> JsonServer:
    """Return the HTTP/1.1 side of the edge: any path of it is the edge."""
    return JsonServer(
        "rvi-node",
        lambda _target, content: edge.handle(content),
        settings.host,
        settings.edge_port,
        max_body=settings.max_message + ENVELOPE_BYTES,
    )


class SchedulingFailed(SotaError):
    """The outcome 'Task scheduling failed'."""

    status = 412


REFUSALS = (SotaError, msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError)


def read_timeout(timeout: int, now: float) -> float:
    """Read a ``timeout`` as the moment at which it is over."""
    if timeout >= FIRST_MILLISECONDS:
        deadline = timeout / 1000
    elif timeout - now < -A_DAY_S:
        deadline = now + timeout / 1000
    else:
        deadline = float(timeout)
    return min(deadline, now + MAX_KEEP_S)


async def _change_schedule(
    params: msgspec.Raw, kind: type[Update], change: Callable[[Sequence[Update]], Awaitable[list[str]]]
) -> list[str]:
    try:
        return await change(msgspec.json.decode(params, type=list[kind]))  # type: ignore[valid-type]
    except (SotaError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        outcome = SCHEDULE_UPDATE.outcome("scheduling_failed")
        title = outcome.message if outcome is not None else None
        detail = error.detail if isinstance(error, SotaError) else str(error)
        raise SchedulingFailed(detail, code="scheduling_failed", title=title) from None


_MESSAGE_RESULT = b'{"jsonrpc":"2.0","id":%b,"result":{"status":0,"transaction_id":%d,"method":"message"}}'


def message_result(transaction: int) -> Result:
    """Return the result of a message that was taken."""
    return {"status": 0, "transaction_id": transaction, "method": "message"}


def _result(call_id: bytes, result: Result) -> bytes:
    if not call_id:
        return b""  # a notification
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id, msgspec.json.encode(result))


def _error(call_id: bytes, code: int, message: str, data: Result | None = None) -> bytes:
    error: Result = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    shown_id = b'"id":%b,' % call_id if call_id else b""
    return b'{"jsonrpc":"2.0",%b"error":%b}' % (shown_id, msgspec.json.encode(error))


def _refusal(call_id: bytes, error: Exception) -> Answered:
    if isinstance(error, SchedulingFailed):
        data: Result = {"code": error.code, "detail": error.detail}
        return error.status, _error(call_id, INTERNAL_ERROR, error.title, data)
    if not call_id:
        return 200, b""
    refused = error if isinstance(error, SotaError) else Invalid(str(error))
    return 200, _error(call_id, INTERNAL_ERROR, refused.detail, {"code": refused.code})


def _json_or_null(response: Response) -> msgspec.Raw:
    try:
        msgspec.json.decode(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.Raw(b"null")
    return msgspec.Raw(response.body)
