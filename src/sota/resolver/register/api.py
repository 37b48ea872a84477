"""Routes of the registers: B3-1, B3-2, components, and the removal of packages and vehicles."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, PackageToResolve, VehicleToResolve
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import PackagePath, VinPath
from sota.kit.runtime.clock import Clock
from sota.resolver.register import service


class RegisterApi:
    """Registers objects for the Web Server, together with SOTA Core."""

    def __init__(self, once: Idempotency, clock: Clock) -> None:
        self.once, self.clock = once, clock

    @serves("WL-B3-1")
    async def register_package(self, call: Call[None, None, PackageToResolve]) -> Reply:
        """Register a package with its dependencies."""
        return await self.once.change(call, "inserted", lambda tx: service.register_package(tx, call.body, self.clock))

    @serves("WL-B3-2")
    async def register_vehicle(self, call: Call[None, None, VehicleToResolve]) -> Reply:
        """Register a vehicle."""
        return await self.once.change(
            call, "inserted", lambda tx: service.register_vehicle(tx, call.body.vin, self.clock)
        )

    @serves("X-B3-2")
    async def register_component(self, call: Call[None, None, ComponentToResolve]) -> Reply:
        """Register a component."""
        return await self.once.change(call, "inserted", lambda tx: service.register_component(tx, call.body))

    @serves("X-B3-3")
    async def delete_package(self, call: Call[PackagePath, None, None]) -> Reply:
        """Delete a package with its dependencies and associations."""
        path = call.path
        return await self.once.change(call, "deleted", lambda tx: service.delete_package(tx, path.name, path.version))

    @serves("X-B3-4")
    async def delete_vehicle(self, call: Call[VinPath, None, None]) -> Reply:
        """Delete a vehicle and what is known of it."""
        return await self.once.change(call, "deleted", lambda tx: service.delete_vehicle(tx, call.path.vin))
