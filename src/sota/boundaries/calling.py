"""From a row to a call over HTTP and back: what every client of a boundary is built on.

Rules kept here:

* method and path are the row's; the body is encoded, the answer decoded into the type that the row declares;
* a problem answer becomes :class:`~sota.kit.errors.Refused` with the code, status, title and detail that the other
  program gave, so that a code travels unchanged; 503 becomes ``Unavailable``, as does a program that is not there;
* nothing is tried again: when to repeat a call is the caller's business.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from types import GenericAlias
from typing import Generic, TypedDict, TypeVar, Unpack, cast, get_args
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from sota.boundaries.interaction import Interaction, Lines, Row
from sota.boundaries.parameters import Parameters, written
from sota.kit.errors import Refused, Unavailable
from sota.kit.http.client import HttpClient, Response, StreamedResponse

Answer = TypeVar("Answer")
Item = TypeVar("Item")
Path = Mapping[str, str] | msgspec.Struct  # the values in a path, by name
JSON = "application/json"
NDJSON = "application/x-ndjson"
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Problem(msgspec.Struct, frozen=True):
    """An error body (RFC 9457) as our programs write it."""

    title: str = ""
    status: int = 0
    code: str = ""
    detail: str = ""
    interaction: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a list; ``cursor`` asks for the next one, None at the end."""

    items: list[Item]
    cursor: str | None = None


class More(TypedDict, total=False):
    """What a call may have. ``key`` is an idempotency key: the same call under it is done once and answered alike."""

    query: Parameters | None
    body: object
    key: str | None


class Caller:
    """Makes the calls of one boundary through one HTTP client."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client

    async def call(self, row: Row[Answer], path: Path | None = None, **more: Unpack[More]) -> Answer:
        """Make the row's call and return its decoded answer; None where the row declares no body.

        Raises:
            Refused: the other program answered with a problem.
            Unavailable: it is not there, or cannot for now.
        """
        response = await self.send(row, path, **more)
        return decode(row, response.body)

    async def page(self, row: Row[list[Item]], path: Path | None = None, **more: Unpack[More]) -> Page[Item]:
        """Make the call of a row that answers with a list, and keep where its next page begins.

        Raises:
            Refused: the other program answered with a problem.
            Unavailable: it is not there, or cannot for now.
        """
        response = await self.send(row, path, **more)
        return Page(decode(row, response.body), next_cursor(response.headers))

    async def send(
        self,
        row: Interaction,
        path: Path | None = None,
        *,
        query: Parameters | None = None,
        body: object = None,
        key: str | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Make the row's call and return the answer as it came, a success.

        Raises:
            Refused: the other program answered with a problem.
            Unavailable: it is not there, or cannot for now.
        """
        method, target = address(row, path or {})
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"accept": JSON, **({"idempotency-key": key} if key else {})}
        if content is not None:
            headers["content-type"] = "application/octet-stream" if row.request is bytes else JSON
        response = await self.client.request(
            method, target, query=written(query) or None, body=content, headers=headers, timeout_s=timeout_s
        )
        check(response.status, response.body)
        return response

    @contextlib.asynccontextmanager
    async def stream(
        self,
        row: Interaction,
        path: Path | None = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None,
    ) -> AsyncIterator[StreamedResponse]:
        """Make the row's call and read its answer as it arrives, a success.

        Raises:
            Refused: the other program answered with a problem.
            Unavailable: it is not there, cannot for now, or ends before its answer does.
        """
        method, target = address(row, path or {})
        async with self.client.stream(method, target, body=body, headers=headers) as answer:
            if answer.status >= 400:
                check(answer.status, await answer.read())
            yield answer

    async def lines(
        self, row: Interaction, path: Path | None = None, *, body: bytes, content_type: str = JSON
    ) -> AsyncIterator[Item]:
        """Make the row's call and yield its answer item by item as it arrives, NDJSON or an array.

        Raises:
            Refused: the other program answered with a problem.
            Unavailable: it is not there, cannot for now, or ends before its answer does.
        """
        headers = {"accept": NDJSON, "content-type": content_type}
        async with self.stream(row, path, body=body, headers=headers) as answer:
            item = _item(row)
            if NDJSON not in answer.headers.get("content-type", ""):
                for whole in _decoded(msgspec.json.Decoder(GenericAlias(list, (item,))), await answer.read(), row):
                    yield whole
                return
            decoder = msgspec.json.Decoder(item)
            async for line in answer.lines():
                if line.strip():
                    yield _decoded(decoder, line, row)

    async def line_batches(self, row: Interaction, *, body: bytes) -> AsyncIterator[list[bytes]]:
        """Make the row's call and yield the lines of its answer as they arrive, for a client that reads them itself.

        Raises:
            Refused: the other program answered with a problem.
            Unavailable: it is not there, cannot for now, ends before its answer does, or does not speak NDJSON.
        """
        async with self.stream(row, body=body, headers={"accept": NDJSON, "content-type": JSON}) as answer:
            if NDJSON not in answer.headers.get("content-type", ""):
                raise Unavailable(f"The answer to {row.id} does not come line by line.")
            async for lines in answer.line_batches():
                yield lines


class BoundaryClient:
    """The calls of a boundary, one method a row."""

    def __init__(self, client: HttpClient) -> None:
        self.caller = Caller(client)


def decode_line(row: Interaction, line: bytes, kind: type[Item]) -> Item:
    """Decode one line of an answer that a client reads itself.

    Raises:
        Unavailable: it is not of the row's type: the two programs do not fit together.
    """
    return _decoded(msgspec.json.Decoder(kind), line, row)


def _item(row: Interaction) -> object:
    return row.response.item if isinstance(row.response, Lines) else get_args(row.response)[0]


def encode_lines(items: Iterable[msgspec.Struct]) -> bytes:
    """Encode bodies as NDJSON."""
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


def address(row: Interaction, path: Path) -> tuple[str, str]:
    """Return the row's method, and its path with the values filled in."""
    given = msgspec.structs.asdict(path) if isinstance(path, msgspec.Struct) else path
    values = {name: quote(str(value), safe="") for name, value in given.items()}
    return row.http.method, row.http.path.format(**values)


def decode(row: Row[Answer], content: bytes) -> Answer:
    """Decode an answer into the row's type.

    Raises:
        Unavailable: it is not of that type: the two programs do not fit together.
    """
    return cast("Answer", decode_any(row, content))


def decode_any(row: Interaction, content: bytes) -> object:
    """Decode an answer whose type the caller does not know.

    Raises:
        Unavailable: it is not of the row's type: the two programs do not fit together.
    """
    if row.response is None or not content:
        return None
    return _decoded(msgspec.json.Decoder(row.response), content, row)


def check(status: int, content: bytes) -> None:
    """Raise the error that an answer is, if it is one.

    Raises:
        Refused: the answer is a problem.
        Unavailable: 503, or a failure that no program of ours wrote.
    """
    if status < 400:
        return
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = Problem()
    if not problem.code:
        raise Unavailable(f"The other program answered {status} without saying why.")
    if status == Unavailable.status:
        raise Unavailable(problem.detail, title=problem.title or None)
    raise Refused(problem.code, problem.detail, status=status, title=problem.title or None)


def next_cursor(headers: Mapping[str, str]) -> str | None:
    """Read the cursor of the next page out of a ``Link`` header."""
    found = _NEXT.search(headers.get("link", ""))
    return parse_qs(urlsplit(found.group(1)).query).get("cursor", [None])[0] if found else None


def _decoded(decoder: msgspec.json.Decoder[Item], content: bytes, row: Interaction) -> Item:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"The answer to {row.id} is not what the boundary declares: {error}.") from None
