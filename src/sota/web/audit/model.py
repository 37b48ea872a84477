"""An audit record, and how it is chained to the one before. Pure rules.

A record's hash is the SHA-256 of its own fields and the hash of the record before, as canonical JSON; so a record
that is changed, removed or moved breaks the chain at its place. The head of the chain is kept apart: it tells when
the last ones are gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

FIRST_HASH = "0" * 64


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
class Record:
    """A deed in its place of the chain."""

    number: int
    deed: Deed
    previous_hash: str
    hash: str


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


def find_break(records: Iterable[Record], head_number: int, head_hash: str) -> str | None:
    """Say where a whole chain, from its first record on, is broken; None where it holds."""
    number, previous_hash = 0, FIRST_HASH
    for record in records:
        if record.number != number + 1:
            return f"record {number + 1} is missing: {record.number} follows {number}"
        if record.previous_hash != previous_hash:
            return f"record {record.number} does not follow the one before it"
        if record.hash != hash_of(record.number, record.deed, previous_hash):
            return f"record {record.number} was changed"
        number, previous_hash = record.number, record.hash
    if (number, previous_hash) != (head_number, head_hash):
        return f"the chain ends at record {number}, its head says {head_number}"
    return None


def clean(text: str, limit: int) -> str:
    """Make a text fit for a record: bounded, and without characters that could forge a line of an export."""
    return "".join(character if character.isprintable() else "�" for character in text[:limit])
