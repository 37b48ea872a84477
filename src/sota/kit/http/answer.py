"""How bytes become the answer to a request: the one reader behind every HTTP client here.

Rules kept here, the same for each client:

* an informational answer (1xx) is passed over; 101 is refused, because no client asks for another protocol;
* an answer that states no length ends with its connection (RFC 9112, 6.3); one that is cut short is no answer;
* a stated length is stated once: two of them, or one beside ``Transfer-Encoding``, are refused, and so is a transfer
  coding other than ``chunked``;
* what is not body (heads, trailers, chunk extensions) is bounded by 64 KiB at a stretch, the body by ``limit``;
* bytes after the answer belong to no request: the answer counts, and the connection must not be used again.

>>> reader = AnswerReader(limit=100)
>>> reader.expect()
>>> reader.feed(b"HTTP/1.1 103 Early Hints\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{")
>>> reader.status, reader.done
(200, False)
>>> reader.feed(b"}")
>>> reader.done, reader.keep, reader.take()
(True, True, b'{}')
"""

from __future__ import annotations

import httptools

from sota.kit.http.heads import KnownHeads

MAX_HEAD_BYTES = 64 << 10
MAX_INFORMATIONAL = 16


class BadAnswer(Exception):
    """What came is no answer; the connection must be closed."""


class AnswerTooLong(BadAnswer):
    """The body is longer than the caller takes."""


class AnswerReader:
    """Reads the answers of one connection, one request at a time. ``limit`` bounds a body, in bytes; None: no limit.

    ``heads`` remembers heads that were read before, for connections that get the same few all day; the names of
    headers are then not given.
    """

    __slots__ = (
        "_chunked", "_expecting", "_heads", "_informational", "_limit", "_named", "_parser", "_parsing", "_parts",
        "_silent", "_size", "_stated", "done", "head_done", "headers", "heard", "keep", "status",
    )  # fmt: skip

    def __init__(self, *, limit: int | None = None, heads: KnownHeads | None = None) -> None:
        self._limit, self._heads = limit, heads
        self._parser = httptools.HttpResponseParser(self)
        self._expecting = self._parsing = False
        self.keep = True
        """Whether the connection may be used for another request, once the answer is done."""
        self._reset()

    def _reset(self) -> None:
        self.status = self._size = self._silent = self._named = self._informational = self._stated = 0
        self.headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self.head_done = self.done = self.heard = self._chunked = False

    # What the client says

    def expect(self) -> None:
        """Note that a request goes out: what comes from now on is its answer."""
        self._reset()
        self._expecting = True

    def feed(self, data: bytes) -> None:
        """Read what came.

        Raises:
            BadAnswer: it is no answer, or no request was made.
        """
        self.heard = True
        if not self._expecting:
            self.keep = False
            raise BadAnswer("bytes that no request asked for")
        if not self._parsing and self._heads is not None and self._knows(self._heads, data):
            return
        self._parsing = True
        at = 0
        while at < len(data) and not self.done:
            room = MAX_HEAD_BYTES - self._silent
            if room <= 0:
                raise self._bad(BadAnswer(f"more than {MAX_HEAD_BYTES} bytes of head"))
            part = memoryview(data)[at : at + room] if at or len(data) > room else data
            at += len(part)
            self._silent += len(part)
            self._parse(part)
        if at < len(data):
            self.keep = False

    def end(self) -> None:
        """Note that the server closed the connection: an answer that states no length is whole now.

        Raises:
            BadAnswer: the answer is not whole.
        """
        self.keep = False
        if not self._expecting or self.done:
            return
        if not self.head_done or self._stated or self._chunked:
            raise self._bad(BadAnswer("the server closed the connection"))
        self._finish()

    def take(self) -> bytes:
        """Return the part of the body that has come and was not taken before."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def waiting_bytes(self) -> int:
        """How much of the body has come and was not taken."""
        return sum(map(len, self._parts))

    # How it is read

    def _knows(self, heads: KnownHeads, data: bytes) -> bool:
        found = heads.find(data, 0)
        if found is None or found[1] + found[0].length != len(data):
            return False
        head, at = found
        if self._limit is not None and head.length > self._limit:
            return False
        self.status, self.head_done, self._size = head.status, True, head.length
        self._parts.append(data[at:])
        self._finish()
        return True

    def _parse(self, part: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            raise self._bad(BadAnswer("an upgrade to another protocol")) from None
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            if isinstance(cause, BadAnswer):
                raise self._bad(cause) from None
            if not self.done:
                raise self._bad(BadAnswer(str(error))) from None
            self.keep = False  # what follows the answer is nonsense

    def _finish(self) -> None:
        self.done, self._expecting = True, False

    def _bad(self, error: BadAnswer) -> BadAnswer:
        self.keep = self._expecting = False
        return error

    # What httptools finds

    def on_message_begin(self) -> None:
        """Begin with an answer; one behind the answer makes the connection unusable."""
        if self.done:
            self.keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers, and the headers of informational answers, are passed over in the end."""
        if self.done:
            return
        self._named += len(name) + len(value)
        if self._named > MAX_HEAD_BYTES:
            raise BadAnswer(f"more than {MAX_HEAD_BYTES} bytes of head")
        if self.head_done:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key == "content-length":
            self._stated += 1
        elif key == "transfer-encoding":
            if self._chunked or text.strip().lower() != "chunked":
                raise BadAnswer(f"the transfer coding {text[:100]!r}")
            self._chunked = True
        if key in self.headers:  # several set-cookie headers must stay apart; others are joined as RFC 9110 5.3 says
            self.headers[key] += ("\n" if key == "set-cookie" else ", ") + text
        else:
            self.headers[key] = text

    def on_headers_complete(self) -> None:
        """Note the status."""
        if self.done:
            return
        self._silent = 0
        status = self._parser.get_status_code()
        if status < 100:
            raise BadAnswer(f"the status {status}")
        if status >= 200:
            if self._stated > 1 or (self._stated and self._chunked):
                raise BadAnswer("more than one length")
            self.status, self.head_done = status, True

    def on_chunk_header(self) -> None:
        """Note that the body goes on."""
        self._silent = 0

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self.done or not self.head_done:
            return
        self._silent = 0
        self._size += len(body)
        if self._limit is not None and self._size > self._limit:
            raise AnswerTooLong("the answer is too long")
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """End with an answer. Whether the connection is kept can only be asked now."""
        if self.done:
            return
        if not self.head_done:
            self._pass_over()
            return
        self.keep = self.keep and self._parser.should_keep_alive()
        self._parsing = False
        self._finish()

    def _pass_over(self) -> None:
        if self._parser.get_status_code() == 101:
            raise BadAnswer("an upgrade to another protocol")
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            raise BadAnswer(f"more than {MAX_INFORMATIONAL} informational answers")
        self.headers, self._stated, self._chunked = {}, 0, False
