"""B1-4, B1-29 and retiring a vehicle: changes to both registers."""

from __future__ import annotations

import msgspec

from sota.boundaries.b2_web_core.messages import Component, NewVehicle
from sota.boundaries.b2_web_core.queries import RetireQuery
from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, VehicleToResolve
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import VinPath
from sota.kit.errors import Refused
from sota.web.gateway.answer import translate
from sota.web.registers.model import Kind, NewRegistration, VehicleToForget, VehicleToRetire
from sota.web.registers.service import Registers


class RegistersApi:
    """Registers vehicles and components. (Packages come with a file: ``repository/api.py``.)"""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    @serves("WL-B1-4")
    async def new_vehicle(self, call: Call[None, None, NewVehicle]) -> Reply:
        """Register a vehicle in Core and in the Resolver."""
        vin = call.body.vin
        new = NewRegistration(Kind.VEHICLE, f"vehicle {vin}", call.body, VehicleToResolve(vin=vin))
        await self._register(call, new)
        return Reply("inserted")

    @serves("WL-B1-29")
    async def new_component(self, call: Call[None, None, Component]) -> Reply:
        """Register a component in Core and in the Resolver."""
        component = call.body
        to_resolve = msgspec.convert(component, ComponentToResolve, from_attributes=True)
        new = NewRegistration(Kind.COMPONENT, f"component {component.part_number}", component, to_resolve)
        await self._register(call, new)
        return Reply("inserted")

    @serves("X-B1-22", "X-B1-23")
    async def retire_vehicle(self, call: Call[VinPath, RetireQuery, None]) -> Reply:
        """Retire a vehicle: it leaves the Resolver's register, and stays in Core's history; or erase it there too."""
        vin, erase = call.path.vin, call.query.erase is not None
        body, to_forget = VehicleToRetire(vin, erase), VehicleToForget(vin)
        await self._register(call, NewRegistration(Kind.RETIREMENT, f"vehicle {vin}", body, to_forget))
        return Reply("erased" if erase else "retired")

    async def _register(self, call: AnyCall, new: NewRegistration) -> None:
        try:
            await self._registers.register(new)
        except Refused as error:
            raise translate(call.row, error) from error
