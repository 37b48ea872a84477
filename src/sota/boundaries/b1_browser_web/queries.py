"""Queries of B1's own rows; those that go on to Core or the Resolver stand in B2 and B3."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from sota.boundaries.audit import AuditQuery
from sota.boundaries.parameters import Cursor, Parameters, Regex


class TrailOwner(StrEnum):
    """The programs that keep an audit trail."""

    WEB = "web"
    CORE = "core"
    RESOLVER = "resolver"


OfProgram = Annotated[TrailOwner, Meta(description="whose audit trail; the Web Server's without it")]


class ProgramQuery(Parameters, frozen=True):
    """Whose audit trail to check."""

    program: OfProgram = TrailOwner.WEB


class ProgramAuditQuery(AuditQuery, frozen=True):
    """Which records of whose audit trail to list."""

    program: OfProgram = TrailOwner.WEB


class IndexQuery(Parameters, frozen=True):
    """Which vehicles the console shows."""

    regex: Regex | None = None
    cursor: Cursor | None = None


class AssetQuery(Parameters, frozen=True):
    """Which version of a file a page means."""

    v: Annotated[str, Meta(description="the file's hash, so that a browser keeps one version of it")] | None = None
