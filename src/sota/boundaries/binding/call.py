"""What a handler gets and gives: :class:`Call` and :class:`Reply`, and the shape of a row as the binder sees it.

``kit`` knows no whitelist: :class:`Row` is what it needs of an interaction, as a Protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from sota.kit.errors import Invalid, TooLarge, TooSlow

Body = TypeVar("Body")
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

READ_TIMEOUT_S = 30.0
WHOLE_BODY = "sota.body"  # in the scope of a request that came from memory: its whole body, for which nobody waits
MIN_BYTES_A_SECOND = 1024  # over a whole body, once it has been waited for as long as READ_TIMEOUT_S


class RowOutcome(Protocol):
    """One declared outcome: see ``boundaries.interaction.Outcome``."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    def say(self, **values: str) -> str | None: ...


class Row(Protocol):
    """An interaction as the binder sees it: see ``boundaries.interaction.Interaction``."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def caller(self) -> Any: ...
    @property
    def way(self) -> Any: ...
    @property
    def outcomes(self) -> Sequence[RowOutcome]: ...
    @property
    def request(self) -> Any: ...
    @property
    def role(self) -> Any: ...
    def outcome(self, name: str) -> RowOutcome | None: ...
    def check_path(self, values: Mapping[str, str]) -> None: ...
    def in_words(self, error: Exception) -> str: ...


@dataclass(slots=True)
class Call(Generic[Body]):
    """One request, as a handler sees it.

    ``path`` holds the template's values, ``query`` the one value of each name, ``headers`` lower-case names.
    ``caller`` is what the program's authenticator gave; ``body`` the decoded body where the row declares one;
    ``opened`` is the note that it is begun, where the program keeps one; ``recorded`` says that its audit record is
    written.
    """

    row: Row
    method: str
    url_path: str
    path: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    client: str
    scheme: str
    receive: Receive
    caller: Any = None
    body: Body = field(default=None)  # type: ignore[assignment]
    scope: Mapping[str, Any] = field(default_factory=dict)
    opened: UUID | None = None
    recorded: bool = False

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
        """Give the body part by part as it arrives; each part has the read time-out.

        Raises:
            Invalid: the caller went away in the middle.
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
    message's placeholders. ``row`` names another row of the same route where the handler found that this one applies.
    ``status`` is for answers that are no outcome of the row (202 accepted).
    """

    outcome: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    stream: AsyncIterator[bytes] | None = None
    content_type: str = "application/json"
    status: int | None = None
    row: Row | None = None
    cookies: Sequence[str] = ()


Handler = Callable[[Call[Any]], Awaitable[Reply]]
Authenticator = Callable[[Call[Any]], Awaitable[Any]]
