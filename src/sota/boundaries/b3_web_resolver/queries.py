"""Queries of B3, and of the rows of B1 that go on to the Resolver."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sota.boundaries.parameters import ListQuery, Parameters
from sota.boundaries.values import Id


class DependencyQuery(Parameters, frozen=True):
    """Which dependencies to list."""

    recursive: Annotated[bool, Meta(description="whether the edges of all that it may bring with it come too")] = False


class DropQuery(Parameters, frozen=True):
    """Which dependencies to delete: all without ``needs``."""

    needs: (
        Annotated[
            str,
            Meta(
                description="only the dependency on this package",
                extra_json_schema={"pattern": r"^[A-Za-z0-9.+_-]{1,100}$"},
            ),
        ]
        | None
    ) = None


class DifferenceQuery(ListQuery, frozen=True):
    """Which resolution to compare with."""

    to: Annotated[Id, Meta(description="the id of the resolution to compare with")]
