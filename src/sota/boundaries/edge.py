"""Calls to a node's service edge: JSON-RPC 2.0 over HTTP, as our node and a real rvi_core take it.

An answer means *queued*, no more. A body travels as the one element of an array, as programs of this kind expect it; a
message without content is ``[null]``. ``timeout`` is in whole unix seconds: anything else can bring a real node down.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sota.boundaries.services import EdgeResult
from sota.kit.errors import Refused, Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.http.post_client import PostClient
from sota.kit.runtime.clock import Clock, SystemClock

MESSAGE_TTL_S = 300


class RpcError(msgspec.Struct, frozen=True):
    """Why a JSON-RPC call failed; ``data.code`` is the name of an outcome, from our node."""

    code: int = 0
    message: str = ""
    data: dict[str, object] | None = None


class RpcAnswer(msgspec.Struct, frozen=True):
    """The answer to a JSON-RPC call."""

    result: EdgeResult | None = None
    error: RpcError | None = None


class EdgeClient:
    """The service edge of one node."""

    def __init__(self, client: HttpClient, clock: Clock | None = None, posts: PostClient | None = None) -> None:
        self.client = client
        self._posts = posts
        self.clock = clock or SystemClock()
        self._decoder = msgspec.json.Decoder(RpcAnswer)

    async def call(self, method: str, params: object, *, timeout_s: float | None = None) -> EdgeResult:
        """Make a JSON-RPC call.

        Raises:
            Refused: the node refused it: ``method_unknown`` where it does not know the method, else its own code.
            Unavailable: the node is not there, or answered something else.
        """
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        response = await self.client.request(
            "POST", "/", body=body, headers={"content-type": "application/json"}, timeout_s=timeout_s
        )
        return self._read(method, response.status, response.body)

    async def message(self, service_name: str, body: object, *, expires_at: int | None = None) -> int | None:
        """Send a message to a service by its full name; the node keeps it until ``expires_at`` (unix seconds).

        Gives the node's transaction id.

        Raises:
            Refused: the node refused it.
            Unavailable: the node is not there.
        """
        result = await self.message_parts(service_name, (msgspec.json.encode(body),), expires_at=expires_at)
        return result.transaction_id

    async def message_parts(
        self, service_name: str, body: Sequence[bytes], *, expires_at: int | None = None
    ) -> EdgeResult:
        """Send a message whose body is JSON already, in parts that together are one value; none of them is copied.

        Raises:
            Refused: the node refused it.
            Unavailable: the node is not there.
        """
        parts = self._envelope(service_name, body, expires_at)
        if self._posts is None:
            answer = await self.client.request(
                "POST", "/", body=b"".join(parts), headers={"content-type": "application/json"}
            )
            return self._read("message", answer.status, answer.body)
        return self._read("message", *await self._posts.post(parts))

    def _envelope(self, service_name: str, body: Sequence[bytes], expires_at: int | None) -> Sequence[bytes]:
        timeout = expires_at or int(self.clock.now().timestamp()) + MESSAGE_TTL_S
        head = b'{"jsonrpc":"2.0","id":1,"method":"message","params":{"service_name":%b,"timeout":%d,"parameters":[' % (
            msgspec.json.encode(service_name),
            timeout,
        )
        return (head, *body, b"]}}")

    def _read(self, method: str, status: int, content: bytes) -> EdgeResult:
        try:
            answer = self._decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"The node answered {status} and no JSON-RPC: {error}.") from None
        if answer.error is not None:
            code = str((answer.error.data or {}).get("code") or "refused_by_node")
            refused = status if status >= 400 else None
            raise Refused(code, f"{method}: {answer.error.message}", status=refused, title=answer.error.message)
        if answer.result is None:
            raise Unavailable(f"The node answered {method} with neither result nor error.")
        if answer.result.status != 0:
            code = "method_unknown" if answer.result.status == 1 else "refused_by_node"
            raise Refused(code, f"The node answered {method} with status {answer.result.status}.")
        return answer.result
