"""How a call of B1 becomes a call of Core (B2) or of the Resolver (B3), and its answer one of B1.

Rules kept here:

* path, query and body are passed on unchanged: the two rows declare the same types;
* an outcome is named by B1's row; its literal message is B1's, all other members of the answer are kept;
* an ``Idempotency-Key`` is made unique to the caller before it is passed on.

>>> class CoreApi(Gateway):                                       # doctest: +SKIP
...     vehicle = pass_on("X-B1-…", to="X-B2-…")
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.query import MAX_KEY
from sota.boundaries.calling import Caller, decode_any
from sota.boundaries.parameters import Parameters
from sota.boundaries.table import TABLE
from sota.web.gateway.answer import answering
from sota.web.visitor import visitor_of

# A request for a million vehicles is answered when all of it is written.
LONGEST_S = 115.0

PassedCall = Call[Parameters | None, Parameters | None, object]


class Gateway:
    """Passes calls on to one program behind the Web Server."""

    def __init__(self, caller: Caller, core: CoreClient) -> None:
        self._caller, self._core = caller, core

    async def pass_to(self, to: str, call: PassedCall, *, after_core: bool = False) -> Reply:
        """Make the call of the row ``to``; ``after_core``: once the Resolver has caught up with Core."""
        row = TABLE[to]
        with answering(call.row):
            if after_core:
                await self._core.wait_for_resolver()
            answer = await self._caller.send(
                row,
                call.path,
                query=call.query,
                body=call.body,
                key=key_of(call),
                timeout_s=LONGEST_S if row.http.keyed else None,
            )
            return _reply(call, decode_any(row, answer.body), answer.headers.get("link"))


def pass_on(
    *ids: str, to: str | tuple[str, ...], after_core: bool = False
) -> Callable[[Gateway, PassedCall], Awaitable[Reply]]:
    """Return a handler that passes rows of B1 on, each to the row at its place in ``to``."""
    targets = dict(zip(ids, (to,) if isinstance(to, str) else to, strict=True))

    @serves(*ids)
    async def handler(self: Gateway, call: PassedCall) -> Reply:
        return await self.pass_to(targets[call.row.id], call, after_core=after_core)

    return handler


def key_of(call: AnyCall) -> str | None:
    """Return the caller's ``Idempotency-Key`` made its own, where it has sent one."""
    if call.key is None:
        return None
    own = f"{visitor_of(call).name}:{call.key}"
    return own if len(own) <= MAX_KEY else hashlib.sha256(own.encode()).hexdigest()


def _reply(call: PassedCall, body: object, link: str | None) -> Reply:
    """Choose the outcome of success; of a list that has ``listed`` and ``empty``, the one that fits."""
    names = [outcome.name for outcome in call.row.outcomes if outcome.succeeded]
    name = names[1] if names[1:] == ["empty"] and not body else names[0]
    if isinstance(body, msgspec.Struct):
        members: dict[str, object] = msgspec.to_builtins(body)
        members.pop("message", None)  # the row says its own
        body = members
    return Reply(name, body, headers={"link": link} if link is not None else {})
