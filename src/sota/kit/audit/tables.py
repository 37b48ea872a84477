"""Tables of an audit trail; each program adds them to its own database."""

from __future__ import annotations

import sqlalchemy as sa

from sota.kit.sql.database import Id, Utc, code_text

METADATA = sa.MetaData()

HEAD = sa.Table(
    "audit_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("hash", code_text(64), nullable=False),
)

RECORD = sa.Table(
    "audit_record",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("actor", code_text(120), nullable=False),
    sa.Column("address", code_text(64), nullable=False),
    sa.Column("interaction", code_text(20), nullable=False),
    sa.Column("object", code_text(300), nullable=False),
    sa.Column("outcome", code_text(60), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("previous_hash", code_text(64), nullable=False),
    sa.Column("hash", code_text(64), nullable=False),
    sa.Index("audit_record_actor", "actor", "number"),
    sa.Index("audit_record_interaction", "interaction", "number"),
    sa.Index("audit_record_at", "at"),
)

# Started actions that have no record yet.
OPEN = sa.Table(
    "audit_open",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("actor", code_text(120), nullable=False),
    sa.Column("address", code_text(64), nullable=False),
    sa.Column("interaction", code_text(20), nullable=False),
    sa.Column("object", code_text(300), nullable=False),
    sa.Column("until", Utc, nullable=False, index=True),
)


def add_audit_tables(metadata: sa.MetaData) -> None:
    """Add the tables to a program's metadata."""
    for table in (HEAD, RECORD):
        table.to_metadata(metadata)


def add_open_deeds(metadata: sa.MetaData) -> None:
    """Add the table of started actions, for a program that notes them."""
    OPEN.to_metadata(metadata)
