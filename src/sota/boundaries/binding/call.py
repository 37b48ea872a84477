"""What a handler takes and returns: :class:`Call` and :class:`Reply`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from sota.boundaries.interaction import Interaction
from sota.kit.errors import Invalid, TooLarge, TooSlow

Path_co = TypeVar("Path_co", covariant=True)
Query_co = TypeVar("Query_co", covariant=True)
Body_co = TypeVar("Body_co", covariant=True)
Event = Mapping[str, Any]  # an ASGI scope or message: its members are of many types
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

READ_TIMEOUT_S = 30.0
WHOLE_BODY = "sota.body"  # in the scope of a request that came from memory: its whole body
MIN_BYTES_A_SECOND = 1024  # over a whole body, once it has been waited for as long as READ_TIMEOUT_S


@dataclass(slots=True)
class Call(Generic[Path_co, Query_co, Body_co]):
    """One request, as a handler sees it: ``Call[VinPath, ListQuery, None]``.

    ``path``, ``query`` and ``body`` are decoded into the types that the row declares, None where it declares none.
    ``raw_query`` has each parameter as it came, ``headers`` have lower-case names.
    ``caller`` is what the program's authenticator returned; ``key`` the ``Idempotency-Key`` where the row takes one.
    ``opened`` identifies the note of a change that has begun, where the program keeps one; ``recorded`` is set when
    the audit record is written.
    """

    row: Interaction
    method: str
    url_path: str
    raw_query: dict[str, str]
    headers: dict[str, str]
    client: str
    scheme: str
    receive: Receive
    path: Path_co = field(default=cast("Path_co", None))
    query: Query_co = field(default=cast("Query_co", None))
    body: Body_co = field(default=cast("Body_co", None))
    key: str | None = None
    caller: object = None
    scope: Event = field(default_factory=dict)
    opened: UUID | None = None
    recorded: bool = False

    @property
    def template(self) -> str:
        """The row's path, with the names of its values."""
        return self.row.http.path

    async def read(self, limit: int) -> bytes:
        """Read the whole body, at most ``limit`` bytes, within the read time-out.

        Raises:
            TooLarge: the body, declared or real, is over the limit.
            TooSlow: it did not arrive in time.
        """
        if int(self.headers.get("content-length", "0")) > limit:
            raise TooLarge(f"The body may have {limit} bytes at most.")
        whole: bytes | None = self.scope.get(WHOLE_BODY)
        if whole is not None and len(whole) <= limit:
            return whole
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                async for part in self.stream():
                    size += len(part)
                    if size > limit:
                        raise TooLarge(f"The body may have {limit} bytes at most.")
                    parts.append(part)
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {READ_TIMEOUT_S:.0f} s.") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body part by part as it arrives; each part has the read time-out.

        Raises:
            Invalid: the caller disconnected before the end.
            TooSlow: nothing arrived for too long, or so little that it would never end.
        """
        loop = asyncio.get_running_loop()
        more, size, waited_s = True, 0, 0.0
        while more:
            begun = loop.time()
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    message = await self.receive()
            except TimeoutError:
                raise TooSlow(f"Nothing arrived for {READ_TIMEOUT_S:.0f} s.") from None
            waited_s += loop.time() - begun
            size += len(message.get("body", b""))
            if waited_s > READ_TIMEOUT_S and size < waited_s * MIN_BYTES_A_SECOND:
                raise TooSlow(f"The body arrives at less than {MIN_BYTES_A_SECOND} bytes a second.")
            if message["type"] == "http.disconnect":
                raise Invalid("The connection ended before the body did.")
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]


@dataclass(slots=True)
class Reply:
    """A handler's answer: the name of one of the row's outcomes, and a body.

    A body of ``None`` or an object gets the row's literal message as ``message``; a list is sent as it is. ``raw``
    sends bytes of ``content_type`` instead (pages, assets), ``stream`` sends them part by part. ``values`` fill the
    message's placeholders. ``row`` is set where another row of the same route applies. ``status`` is for answers that
    are no outcome of the row (202 accepted).
    """

    outcome: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    stream: AsyncIterator[bytes] | None = None
    content_type: str = "application/json"
    status: int | None = None
    row: Interaction | None = None
    cookies: Sequence[str] = ()


AnyCall = Call[object, object, object]
Handler = Callable[[Any], Awaitable[Reply]]  # of a Call of the types that its rows declare, which differ
Authenticator = Callable[[AnyCall], Awaitable[object]]
