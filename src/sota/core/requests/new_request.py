"""A request that is being queued: what was asked for, and what of it is written so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sota.boundaries.binding.call import Reply
from sota.core.requests import queue_store, service
from sota.core.requests.model import InstallRequest, Order
from sota.core.requests.queue_store import Staged
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx

VIN_LENGTH = 17
Transact = Callable[[Callable[[Tx], Awaitable[Reply]]], Awaitable[Reply]]
"""Does work in one transaction, once for an Idempotency-Key (``boundaries/binding/idempotency.py``)."""
Answer = Callable[[UUID, int], Reply]
"""Builds the answer from a request's id and the number of vehicles that it was queued for."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What is to be queued under one id; ``missing`` is the error code for an unknown package."""

    kind: str
    name: str | None
    orders: Sequence[Order]
    missing: str
    answer: Answer


@dataclass(slots=True)
class WrittenRequest:
    """What is written of a request so far; ``parts`` are its packages, ``left_out`` counts reasons by part."""

    parts: Sequence[InstallRequest]
    staged: list[Staged] = field(default_factory=list)
    left_out: dict[int, Counter[str]] = field(default_factory=dict)
    _vins: list[str] = field(default_factory=list)

    @property
    def request_id(self) -> UUID:
        """The id that all parts share."""
        return self.parts[0].id

    @property
    def chosen(self) -> int:
        """How many updates were written, failed ones included."""
        return sum(one.written for one in self.staged)

    def add(self, batch: Sequence[Staged]) -> None:
        """Add slices that are written. Their VINs are kept as one text each: a million lists would fill the memory."""
        for one in batch:
            self._vins.append("".join(one.slice.vins))
            self.staged.append(replace(one, slice=replace(one.slice, vins=()), left_out={}))
            self.left_out.setdefault(one.slice.position, Counter()).update(one.left_out)

    def clear(self) -> None:
        """Forget what a transaction wrote that did not commit."""
        self.staged, self.left_out, self._vins = [], {}, []

    def vins_by_slice(self) -> Iterator[list[str]]:
        """Iterate over the VINs of each slice."""
        for vins in self._vins:
            yield [vins[at : at + VIN_LENGTH] for at in range(0, len(vins), VIN_LENGTH)]

    async def finish(self, tx: Tx, clock: Clock) -> None:
        """Write which vehicles were left out, and schedule the updates at the node."""
        for position, reasons in self.left_out.items():
            if reasons:
                await queue_store.write_left_out(tx, self.request_id, position, reasons)
        await service.leave_with_node(tx, self.request_id, self.staged, clock)


def is_answer_to(reply: Reply, request_id: UUID) -> bool:
    """Report whether an answer is for this request, and not for an earlier one with the same Idempotency-Key."""
    return isinstance(reply.body, dict) and reply.body["install_request_id"] == str(request_id)
