"""B1-4 and B1-29: vehicles and components, into both registers."""

from __future__ import annotations

from typing import Any

from sota.boundaries.b2_web_core.messages import Component, NewVehicle
from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, VehicleToResolve
from sota.boundaries.interaction import serves
from sota.kit.errors import Refused
from sota.kit.http_message import Call, Reply
from sota.web.gateway.answer import translate
from sota.web.registers.model import Kind, NewRegistration
from sota.web.registers.service import Registers


class RegistersApi:
    """Registers vehicles and components. (Packages come with a file: ``repository/api.py``.)"""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    @serves("WL-B1-4")
    async def new_vehicle(self, call: Call[NewVehicle]) -> Reply:
        """Register a vehicle in Core and in the Resolver."""
        vin = call.body.vin
        new = NewRegistration(Kind.VEHICLE, f"vehicle {vin}", call.body, VehicleToResolve(vin=vin))
        await self._register(call, new)
        return Reply("inserted")

    @serves("WL-B1-29")
    async def new_component(self, call: Call[Component]) -> Reply:
        """Register a component in Core and in the Resolver."""
        component = call.body
        to_resolve = ComponentToResolve(
            part_number=component.part_number, description=component.description, name=component.name
        )
        new = NewRegistration(Kind.COMPONENT, f"component {component.part_number}", component, to_resolve)
        await self._register(call, new)
        return Reply("inserted")

    async def _register(self, call: Call[Any], new: NewRegistration) -> None:
        try:
            await self._registers.register(new)
        except Refused as error:
            raise translate(call.row, error) from error
