"""An audit record, and how it is chained to the one before. Pure rules.

A record's hash is the SHA-256 of its own fields and the previous record's hash, as canonical JSON. So a record that
is changed, removed or moved breaks the chain at its place. The head of the chain is stored separately: it shows when
the last records are missing.
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
"""The outcome of an action whose end is unknown: its program was killed."""


@dataclass(frozen=True, slots=True)
class AuditedAction:
    """An action or attempt: who, from where, through which interaction, on what, and its outcome."""

    at: datetime
    actor: str
    address: str
    interaction: str
    object: str
    outcome: str
    status: int


@dataclass(frozen=True, slots=True)
class Opening:
    """A started action: ``action`` becomes its record if no other is written before ``until``."""

    id: UUID
    action: AuditedAction
    until: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """An action with its place in the chain."""

    number: int
    action: AuditedAction
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking a chain: its head, and where it is broken (None: nowhere)."""

    number: int
    hash: str
    broken: Break | None


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records to read: those that match every field that is set."""

    actor: str | None = None
    interaction: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def chain(actions: Iterable[AuditedAction], number: int, previous_hash: str) -> list[Record]:
    """Append actions to a chain whose last record is ``number`` with ``previous_hash``."""
    records: list[Record] = []
    for action in actions:
        number += 1
        record_hash = hash_of(number, action, previous_hash)
        records.append(Record(number, action, previous_hash, record_hash))
        previous_hash = record_hash
    return records


def hash_of(number: int, action: AuditedAction, previous_hash: str) -> str:
    """Return a record's hash."""
    fields = [
        number,
        action.at.isoformat(timespec="microseconds"),
        action.actor,
        action.address,
        action.interaction,
        action.object,
        action.outcome,
        action.status,
        previous_hash,
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """Where and how a chain is broken."""

    number: int
    text: str


class Checker:
    """Checks a chain record by record, from the first one, without keeping it."""

    def __init__(self) -> None:
        self.number, self.hash = 0, FIRST_HASH
        self.broken: Break | None = None

    def add(self, record: Record) -> None:
        """Check the next record; only the first break is reported."""
        if self.broken is not None:
            return
        if record.number != self.number + 1:
            text = f"record {self.number + 1} is missing: {record.number} follows {self.number}"
            self.broken = Break(self.number + 1, text)
        elif record.previous_hash != self.hash:
            self.broken = Break(record.number, f"record {record.number} does not follow the one before it")
        elif record.hash != hash_of(record.number, record.action, self.hash):
            self.broken = Break(record.number, f"record {record.number} was changed")
        else:
            self.number, self.hash = record.number, record.hash

    def end(self, head_number: int, head_hash: str) -> Break | None:
        """Compare the end with the chain's head, which shows when the last records are missing."""
        if self.broken is None and self.number < head_number:
            text = f"record {self.number + 1} is missing: the chain ends at {self.number}, its head says {head_number}"
            self.broken = Break(self.number + 1, text)
        elif self.broken is None and (self.number, self.hash) != (head_number, head_hash):
            self.broken = Break(self.number, f"the chain ends at record {self.number}, its head says {head_number}")
        return self.broken


def tidy(action: AuditedAction) -> AuditedAction:
    """Make an action's texts fit for a record: :func:`clean`."""
    return replace(
        action,
        actor=clean(action.actor, 120),
        address=clean(action.address, 64),
        object=clean(action.object, 300),
        outcome=clean(action.outcome, 60),
    )


def clean(text: str, limit: int) -> str:
    """Limit a text and remove characters that could forge a line of an export."""
    return "".join(character if character.isprintable() else "�" for character in text[:limit])
