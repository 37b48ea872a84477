"""Use cases of filters: create, attach, search, change, delete.

A filter is parsed, and its regular expressions compiled, before it is stored; an invalid one is never saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sota.kit.errors import Failed, NotFound, Refused, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database, Tx
from sota.resolver.filters import store
from sota.resolver.filters.store import StoredFilter
from sota.resolver.groups import service as group_service
from sota.resolver.index.workers import Workers
from sota.resolver.language.expression import Expression
from sota.resolver.language.parser import FilterSyntaxError, parsing
from sota.resolver.language.regex import Regex, RegexError, compile_regex
from sota.resolver.register import store as register_store

SLICE = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """A page of filters by name; ``following`` is the last name if there may be more."""

    filters: list[StoredFilter]
    following: str | None


async def read_expression(expression: str, workers: Workers) -> Expression:
    """Check a filter; return its parsed expression.

    Raises:
        Refused: ``filter_invalid``, with line, column and what was expected.
    """
    try:
        return await workers.run_steps(parsing(expression))
    except FilterSyntaxError as error:
        raise Refused("filter_invalid", f"{error}.") from None


async def create_filter(tx: Tx, name: str, expression: str, meaning: Expression, clock: Clock) -> None:
    """Store a new filter.

    Raises:
        Refused: ``filter_exists``; ``filter_invalid``: it names a group that does not exist.
    """
    await group_service.require_groups(tx, meaning)
    if (await store.insert_filter(tx, name, expression, clock.now())).outcome == "exists":
        raise Refused("filter_exists", f"There is a filter {name} already.")


async def attach_filter(tx: Tx, name: str, version: str, filter_name: str) -> None:
    """Attach a filter to a package.

    Raises:
        Refused: ``association_exists``, ``filter_label_missing`` or ``package_missing``.
    """
    outcome = (await store.insert_association(tx, name, version, filter_name)).outcome
    if outcome == "exists":
        raise Refused("association_exists", f"The package {name}/{version} has the filter {filter_name} already.")
    if outcome == "filter_missing":
        raise Refused("filter_label_missing", f"There is no filter {filter_name}: create it first.")
    if outcome == "package_missing":
        raise Refused("package_missing", f"Package {name}/{version} is not registered: upload it first.")


async def detach_filter(tx: Tx, name: str, version: str, filter_name: str) -> None:
    """Detach a filter from a package.

    Raises:
        NotFound: the package has no such filter, or is not registered.
    """
    if not await store.delete_association(tx, name, version, filter_name):
        raise NotFound(f"Package {name}/{version} has no filter {filter_name}.")


async def package_filters(tx: Tx, name: str, version: str) -> list[StoredFilter]:
    """Return the filters of a package.

    Raises:
        Refused: ``package_missing``.
    """
    if await register_store.find_package(tx, name, version) is None:
        raise Refused("package_missing", f"Package {name}/{version} is not registered: upload it first.")
    return (await store.find_package_filters(tx, name, version)).data or []


async def require_filters(tx: Tx, name: str, version: str) -> list[StoredFilter]:
    """Return the filters of a package to resolve; without any, it is for no vehicle
    (docs/specification.md, ruling 9).

    Raises:
        Refused: ``package_missing`` or ``filters_missing``.
    """
    filters = await package_filters(tx, name, version)
    if not filters:
        raise Refused(
            "filters_missing", f"Package {name}/{version} has no filter: attach one, TRUE if every vehicle is meant."
        )
    return filters


async def change_filter(tx: Tx, name: str, expression: str, meaning: Expression) -> None:
    """Change a filter's expression.

    Raises:
        Refused: ``filter_missing``; ``filter_invalid``: it names a group that does not exist.
    """
    await group_service.require_groups(tx, meaning)
    if (await store.update_filters(tx, {name: expression})).outcome == "missing":
        raise Refused("filter_missing", f"There is no filter {name}.")


async def delete_filter(tx: Tx, name: str, looked_at: Mapping[str, list[StoredFilter]] | None = None) -> None:
    """Delete a filter; packages that had it lose it.

    ``looked_at``: the packages with this filter, and all filters of each, that were checked before.

    Raises:
        Refused: ``filter_missing``.
        Unavailable: they have changed since.
    """
    if looked_at is not None:
        await store.lock_filter(tx, name)  # from here on it cannot be attached
        if await store.find_targets(tx, name) != looked_at:
            raise Unavailable("Filters of packages were changed meanwhile: try again.")
    if (await store.delete_filters(tx, [name])).outcome == "missing":
        raise Refused("filter_missing", f"There is no filter {name}.")


async def list_filters(tx: Tx, after: str | None, limit: int) -> Page:
    """Return the available filters, a page at a time."""
    found = (await store.list_filters(tx, after, limit + 1)).data or []
    return Page(found[:limit], found[limit - 1].name if len(found) > limit else None)


async def search_filters(db: Database, workers: Workers, pattern: str, after: str | None, limit: int) -> Page:
    """Return the filters whose name matches, a page at a time.

    Raises:
        Failed: the pattern is not a regular expression.
    """
    try:
        regex = compile_regex(pattern)
    except RegexError as error:
        raise Failed(f"The search pattern cannot be used: {error}.") from None
    matching: list[StoredFilter] = []
    while len(matching) <= limit:
        async with db.read() as tx:
            some = (await store.list_filters(tx, after, SLICE)).data or []
        matching += await workers.run(_matching, regex, some)
        if len(some) < SLICE:
            break
        after = some[-1].name
    return Page(matching[:limit], matching[limit - 1].name if len(matching) > limit else None)


def _matching(regex: Regex, filters: list[StoredFilter]) -> list[StoredFilter]:
    return [one for one in filters if regex.finds(one.name)]
