"""Use cases of groups.

Rules kept here:

* a filter that uses a missing group is not saved, and a group that a filter uses is not deleted: under NOT, a missing
  group would match every vehicle;
* members are added and removed two thousand at a time, each time in a transaction of its own: repeating the whole
  call does no harm.
"""

from __future__ import annotations

from sota.kit.errors import NotFound, Refused
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database, Tx
from sota.resolver.groups import store
from sota.resolver.groups.store import GroupRow
from sota.resolver.language.expression import Expression, InGroup, Place, walk
from sota.resolver.language.parser import FilterSyntaxError, parse
from sota.resolver.sql import batches

AT_ONCE = 2_000


async def find(tx: Tx, name: str) -> GroupRow:
    """Look a group up.

    Raises:
        NotFound: no such group exists.
    """
    found = await store.find_group(tx, name)
    if found is None:
        raise NotFound(f"There is no group {name}.")
    return found


async def keep(tx: Tx, name: str, description: str, clock: Clock) -> GroupRow:
    """Create a group, or change its description."""
    await store.keep_group(tx, name, description, clock.now())
    return await find(tx, name)


async def delete(tx: Tx, name: str) -> None:
    """Delete a group.

    Raises:
        NotFound: no such group exists.
        Refused: ``group_in_use``: a filter uses it.
    """
    group_id = await _lock(tx, name)
    for filter_name, expression in await store.find_expressions_with(tx, name):
        if name in groups_of(parse(expression)):
            raise Refused("group_in_use", f"The filter {filter_name} asks for the group {name}: change it first.")
    await store.delete_group(tx, group_id)


async def change_members(db: Database, name: str, vins: list[str], *, add: bool) -> tuple[int, list[str]]:
    """Add vehicles to a group or remove them; return how many changed, and the VINs that are not registered.

    Raises:
        NotFound: no such group exists.
    """

    async def work(tx: Tx, some: list[str]) -> tuple[int, list[str]]:
        return await store.change_members(tx, await _lock(tx, name), some, add=add)

    total, unknown = 0, list[str]()
    for some in batches(sorted(set(vins)), AT_ONCE):
        changed, strangers = await db.transact(lambda tx, some=list(some): work(tx, some))  # type: ignore[misc]
        total, unknown = total + changed, unknown + strangers
    return total, unknown


async def _lock(tx: Tx, name: str) -> int:
    """Return a group's row, locked until the transaction ends."""
    group_id = (await store.find_groups(tx, [name], for_change=True)).get(name)
    if group_id is None:
        raise NotFound(f"There is no group {name}.")
    return group_id


async def require_groups(tx: Tx, expression: Expression) -> None:
    """Check that an expression's groups exist, and lock them until the transaction ends.

    Raises:
        Refused: ``filter_invalid``.
    """
    error = await find_missing(tx, expression, for_change=True)
    if error is not None:
        raise Refused("filter_invalid", f"{error}.")


async def find_missing(tx: Tx, expression: Expression, *, for_change: bool = False) -> FilterSyntaxError | None:
    """Return a group of an expression that does not exist; ``for_change`` locks the others until the end."""
    wanted = groups_of(expression)
    found = await store.find_groups(tx, list(wanted), for_change=for_change)
    missing = sorted((place, name) for name, place in wanted.items() if name not in found)
    if not missing:
        return None
    (line, column), name = missing[0]
    return FilterSyntaxError(f"there is no group {name!r}: make it first", line, column)


def groups_of(expression: Expression) -> dict[str, Place]:
    """Return the groups of an expression, each with its first place."""
    parts = [part for _depth, part in walk(expression) if isinstance(part, InGroup)]
    found: dict[str, Place] = {}
    for part in sorted(parts, key=lambda part: part.place or Place(1, 1)):
        found.setdefault(part.name, part.place or Place(1, 1))
    return found
