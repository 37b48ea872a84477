"""Routes of a vehicle's attributes."""

from __future__ import annotations

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import VinPath
from sota.kit.errors import NotFound
from sota.kit.sql.database import Database
from sota.resolver.attributes import store


class AttributesApi:
    """Reads and writes a vehicle's attributes for the Web Server."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @serves("X-B3-5")
    async def find(self, call: Call[VinPath, None, None]) -> Reply:
        """Return a vehicle's attributes."""
        async with self.db.read() as tx:
            found = await store.find_attributes(tx, call.path.vin)
        if found is None:
            raise _unknown(call.path.vin)
        return Reply("found", found)

    @serves("X-B3-6")
    async def change(self, call: Call[VinPath, None, dict[str, str]]) -> Reply:
        """Replace a vehicle's attributes."""
        if not await self.db.transact(lambda tx: store.replace_attributes(tx, call.path.vin, call.body)):
            raise _unknown(call.path.vin)
        return Reply("changed", dict(sorted(call.body.items())))


def _unknown(vin: str) -> NotFound:
    return NotFound(f"The VIN {vin} is not registered.")
