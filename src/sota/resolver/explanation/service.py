"""Use case of an explanation: the same filters, graph and planning as a resolve, for one vehicle, with reasons."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.resolution_messages import (
    Explanation,
    FilterExplained,
    PlanStep,
    Verdict,
)
from sota.boundaries.values import InstalledPackage, PackageId
from sota.kit.errors import NotFound
from sota.kit.sql.database import Database
from sota.resolver.dependencies.model import LeftOut, Package, Plan
from sota.resolver.explanation import store
from sota.resolver.explanation.model import explain_clause, explain_steps
from sota.resolver.filters import service as filter_service
from sota.resolver.index.workers import Workers
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.language.expression import Expression
from sota.resolver.resolution.service import Resolution, Resolver


class Explanations:
    """Explains decisions, from the database's state of the vehicle, which is the truth."""

    def __init__(self, db: Database, resolver: Resolver, typing: Workers) -> None:
        self._db, self._resolver, self._typing = db, resolver, typing

    async def of_package(self, vin: str, package: PackageId) -> Explanation:
        """Return why a vehicle gets a package or not.

        Raises:
            NotFound: the VIN is not registered.
            Refused: ``package_missing`` or ``filters_missing``.
            Failed: a filter of the package cannot be evaluated.
        """
        vehicle = await self._load(vin)
        resolution = await self._resolver.prepare(package)
        return await self._typing.run(_explain, vehicle, resolution)

    async def of_expression(self, vin: str, expression: str) -> Explanation:
        """Return why an unsaved expression is true for a vehicle or not.

        Raises:
            NotFound: the VIN is not registered.
            Refused: ``filter_invalid``.
        """
        meaning = await filter_service.read_expression(expression, self._typing)
        vehicle = await self._load(vin)
        explained = await self._typing.run(_explain_filter, None, meaning, vehicle)
        verdict = Verdict.IN if explained.value else Verdict.OUT
        return Explanation(vin=vin, verdict=verdict, filters=[explained])

    async def _load(self, vin: str) -> Vehicle:
        async with self._db.read() as tx:
            vehicle = await store.load_vehicle(tx, vin)
        if vehicle is None:
            raise NotFound(f"The VIN {vin} is not registered.")
        return vehicle


def _explain(vehicle: Vehicle, resolution: Resolution) -> Explanation:
    filters = [
        _explain_filter(stored.name, meaning, vehicle)
        for stored, meaning in zip(resolution.stored, resolution.filters, strict=True)
    ]
    names = resolution.graph.names_of_interest(resolution.package)
    installed = sorted(Package(*one) for one in vehicle.packages if one[0] in names)
    plan = resolution.graph.plan(resolution.package, installed)
    steps: list[PlanStep] = []
    code = reason = None
    if isinstance(plan, LeftOut):
        code, reason = plan.code, plan.reason
    else:
        steps = explain_steps(resolution.graph, plan.packages, installed)
    return Explanation(
        vin=vehicle.vin,
        verdict=_verdict(filters, plan),
        filters=filters,
        steps=steps,
        code=code,
        reason=reason,
        installed=[InstalledPackage(name=one.name, version=one.version) for one in installed],
    )


def _verdict(filters: list[FilterExplained], plan: Plan) -> Verdict:
    if not all(one.value for one in filters):
        return Verdict.OUT
    return Verdict.BLOCKED if isinstance(plan, LeftOut) else Verdict.IN


def _explain_filter(name: str | None, meaning: Expression, vehicle: Vehicle) -> FilterExplained:
    clause = explain_clause(meaning, vehicle)
    return FilterExplained(name=name, value=clause.value, clause=clause)
