"""Use cases of components: register and look up."""

from __future__ import annotations

from sota.core.components import store
from sota.core.components.model import Component
from sota.kit.errors import Refused
from sota.kit.sql.database import Tx


async def register_component(tx: Tx, new: Component) -> None:
    """Register a component.

    Raises:
        Refused: ``component_exists``.
    """
    if (await store.insert_component(tx, new)).outcome == "exists":
        raise Refused("component_exists", f"The component {new.part_number} is registered already.")


async def require_component(tx: Tx, part_number: str) -> Component:
    """Return one component.

    Raises:
        Refused: ``component_unknown``.
    """
    found = (await store.find_components(tx, [part_number])).data
    if not found:
        raise Refused("component_unknown", f"The component {part_number} is not registered.")
    return found[0]
