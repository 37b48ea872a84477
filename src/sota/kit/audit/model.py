"""An audit record, and how it is chained to the one before. Pure rules.

A record's hash is the SHA-256 of its own fields and the hash of the record before, as canonical JSON; so a record
that is changed, removed or moved breaks the chain at its place. The head of the chain is kept apart: it tells when
the last ones are gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

FIRST_HASH = "0" * 64
INTERRUPTED = "interrupted"
"""The outcome of what was begun, and of which nobody knows how it ended: its program was killed."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done or tried: who, from where, through which interaction, on what, and how it ended."""

    at: datetime
    actor: str
    address: str
    interaction: str
    object: str
    outcome: str
    status: int


@dataclass(frozen=True, slots=True)
class Opening:
    """What is begun: ``deed`` is how its record will read if it gets no other one until the moment named."""

    id: UUID
    deed: Deed
    until: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """A deed in its place of the chain."""

    number: int
    deed: Deed
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the chain found: its head, and where it is broken (None: it holds)."""

    number: int
    hash: str
    broken: Break | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for: all those for which every member that is given holds."""

    actor: str | None = None
    interaction: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def chain(deeds: Iterable[Deed], number: int, previous_hash: str) -> list[Record]:
    """Append deeds to a chain whose last record is ``number`` with ``previous_hash``."""
    records: list[Record] = []
    for deed in deeds:
        number += 1
        record_hash = hash_of(number, deed, previous_hash)
        records.append(Record(number, deed, previous_hash, record_hash))
        previous_hash = record_hash
    return records


def hash_of(number: int, deed: Deed, previous_hash: str) -> str:
    """Give a record's hash."""
    fields = [
        number,
        deed.at.isoformat(timespec="microseconds"),
        deed.actor,
        deed.address,
        deed.interaction,
        deed.object,
        deed.outcome,
        deed.status,
        previous_hash,
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain is broken: at which record, and how."""

    number: int
    text: str


class Checker:
    """Follows a chain record by record, from its first one, without keeping it."""

    def __init__(self) -> None:
        self.number, self.hash = 0, FIRST_HASH
        self.broken: Break | None = None

    def add(self, record: Record) -> None:
        """Look at the next record; the first break is the one that is told."""
        if self.broken is not None:
            return
        if record.number != self.number + 1:
            text = f"record {self.number + 1} is missing: {record.number} follows {self.number}"
            self.broken = Break(self.number + 1, text)
        elif record.previous_hash != self.hash:
            self.broken = Break(record.number, f"record {record.number} does not follow the one before it")
        elif record.hash != hash_of(record.number, record.deed, self.hash):
            self.broken = Break(record.number, f"record {record.number} was changed")
        else:
            self.number, self.hash = record.number, record.hash

    def end(self, head_number: int, head_hash: str) -> Break | None:
        """Hold the end against the chain's head, which tells when the last records are gone."""
        if self.broken is None and self.number < head_number:
            text = f"record {self.number + 1} is missing: the chain ends at {self.number}, its head says {head_number}"
            self.broken = Break(self.number + 1, text)
        elif self.broken is None and (self.number, self.hash) != (head_number, head_hash):
            self.broken = Break(self.number, f"the chain ends at record {self.number}, its head says {head_number}")
        return self.broken


def find_break(records: Iterable[Record], head_number: int, head_hash: str) -> str | None:
    """Say where a whole chain, from its first record on, is broken; None where it holds."""
    checker = Checker()
    for record in records:
        checker.add(record)
    broken = checker.end(head_number, head_hash)
    return broken.text if broken is not None else None


def tidy(deed: Deed) -> Deed:
    """Make a deed's texts fit for a record."""
    return replace(
        deed,
        actor=clean(deed.actor, 120),
        address=clean(deed.address, 64),
        object=clean(deed.object, 300),
        outcome=clean(deed.outcome, 60),
    )


def clean(text: str, limit: int) -> str:
    """Make a text fit for a record: bounded, and without characters that could forge a line of an export."""
    return "".join(character if character.isprintable() else "�" for character in text[:limit])
