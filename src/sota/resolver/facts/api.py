"""Route of facts: B5-2, NDJSON, one result a line.

Lines are committed in batches while they arrive; the answer follows after all of them. A caller that was cut off sends
everything again: facts that were committed are answered as repeated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from sota.boundaries.b5_core_resolver.messages import Fact, FactResult, FactStatus, VehicleRetired
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.kit.errors import TooLarge, Unsupported
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.resolver.facts import service

NDJSON = "application/x-ndjson"
BATCH = 1000
BATCH_BYTES = 1 << 20
MAX_LINE_BYTES = 8 << 20
MAX_LINES = 100_000


class _Named(msgspec.Struct):
    """The id of a line that is not a valid fact, so that its sender knows which one is meant."""

    id: str | None = None


class FactsApi:
    """Receives facts from Core."""

    def __init__(self, db: Database, clock: Clock, erase_soon: Callable[[], None]) -> None:
        self.db, self.clock, self._erase_soon = db, clock, erase_soon
        self._fact: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)
        self._named = msgspec.json.Decoder(_Named)

    @serves("WL-B5-2")
    async def record(self, call: Call[None, None, None]) -> Reply:
        """Record facts about vehicles, packages and components."""
        if call.headers.get("content-type", "").partition(";")[0].strip().lower() != NDJSON:
            raise Unsupported(f"The body must be {NDJSON}.")
        answer = bytearray()
        count = 0
        async for lines in _batches(call.stream()):
            count += len(lines)
            if count > MAX_LINES:
                raise TooLarge(f"At most {MAX_LINES} facts at once; {count - len(lines)} of them are recorded.")
            for result in await self._record(lines):
                answer += msgspec.json.encode(result) + b"\n"
        return Reply("recorded", raw=bytes(answer), content_type=NDJSON)

    async def _record(self, lines: Sequence[bytes]) -> list[FactResult]:
        read = [self._read(line) for line in lines]
        facts = [one for one in read if not isinstance(one, FactResult)]
        done = iter(await self.db.transact(lambda tx: service.record(tx, facts, self.clock)) if facts else [])
        if any(isinstance(one, VehicleRetired) and one.erased for one in facts):
            self._erase_soon()
        return [one if isinstance(one, FactResult) else next(done) for one in read]

    def _read(self, line: bytes) -> Fact | FactResult:
        try:
            return self._fact.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return FactResult(id=self._name_of(line), status=FactStatus.REFUSED, detail=f"Not a fact: {error}.")

    def _name_of(self, line: bytes) -> str | None:
        try:
            return self._named.decode(line).id
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


async def _batches(parts: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Split what arrives into lines, and these into batches for one transaction each.

    Raises:
        TooLarge: a line is over its limit.
    """
    lines: list[bytes] = []
    size = 0
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise TooLarge(f"A line may have {MAX_LINE_BYTES} bytes at most.")
        for line in whole:
            if line.strip():
                lines.append(line)
                size += len(line)
            if len(lines) == BATCH or size >= BATCH_BYTES:
                yield lines
                lines, size = [], 0
    if rest.strip():
        lines.append(rest)
    if lines:
        yield lines
