"""Use cases of filters: create, attach, search, change, delete.

A filter is parsed, and its regular expressions compiled, before it is stored; an invalid one is never saved.
"""

from __future__ import annotations

from collections.abc import Mapping

from sota.boundaries.b3_web_resolver.messages import Filter
from sota.kit.errors import Failed, NotFound, Refused, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database, Tx
from sota.resolver.dependencies import service as dependency_service
from sota.resolver.dependencies.model import Package
from sota.resolver.filters import store
from sota.resolver.groups import service as group_service
from sota.resolver.index.workers import Workers
from sota.resolver.language.expression import Expression
from sota.resolver.language.parser import FilterSyntaxError, parsing
from sota.resolver.language.regex import Regex, RegexError, compile_regex

SLICE = 1_000


async def read_expression(expression: str, workers: Workers) -> Expression:
    """Check a filter; return its parsed expression.

    Raises:
        Refused: ``filter_invalid``, with line, column and what was expected.
    """
    try:
        return await workers.run_steps(parsing(expression))
    except FilterSyntaxError as error:
        raise Refused("filter_invalid", f"{error}.") from None


async def create_filter(tx: Tx, new: Filter, meaning: Expression, clock: Clock) -> None:
    """Store a new filter.

    Raises:
        Refused: ``filter_exists``; ``filter_invalid``: it names a group that does not exist.
    """
    await group_service.require_groups(tx, meaning)
    if (await store.insert_filter(tx, new.name, new.expression, clock.now())).outcome == "exists":
        raise Refused("filter_exists", f"There is a filter {new.name} already.")


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


async def package_filters(tx: Tx, name: str, version: str) -> list[Filter]:
    """Return the filters of a package.

    Raises:
        Refused: ``package_missing``.
    """
    await dependency_service.require_package(tx, Package(name, version))
    return (await store.find_package_filters(tx, name, version)).data or []


async def require_filters(tx: Tx, name: str, version: str) -> list[Filter]:
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


async def delete_filter(tx: Tx, name: str, looked_at: Mapping[str, list[Filter]] | None = None) -> None:
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


async def list_filters(tx: Tx, after: str | None, count: int) -> list[Filter]:
    """Return the next available filters by name."""
    return (await store.list_filters(tx, after, count)).data or []


async def search_filters(db: Database, workers: Workers, pattern: str, after: str | None, count: int) -> list[Filter]:
    """Return the next filters whose name matches, at least ``count`` unless there are fewer.

    Raises:
        Failed: the pattern is not a regular expression.
    """
    try:
        regex = compile_regex(pattern)
    except RegexError as error:
        raise Failed(f"The search pattern cannot be used: {error}.") from None
    matching: list[Filter] = []
    while len(matching) < count:
        async with db.read() as tx:
            some = await list_filters(tx, after, SLICE)
        matching += await workers.run(_matching, regex, some)
        if len(some) < SLICE:
            break
        after = some[-1].name
    return matching


def _matching(regex: Regex, filters: list[Filter]) -> list[Filter]:
    return [one for one in filters if regex.finds(one.name)]
