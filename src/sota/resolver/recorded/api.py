"""Routes of recorded resolutions: what was decided, for which vehicles, and how two of them differ."""

from __future__ import annotations

from uuid import UUID

from sota.boundaries.b3_web_resolver.messages import Filter, Resolved
from sota.boundaries.b3_web_resolver.queries import DifferenceQuery
from sota.boundaries.b3_web_resolver.resolution_messages import (
    Change,
    Decided,
    Difference,
    LeftOutVehicle,
    PlanCount,
    ReasonCount,
    Resolution,
    ResolutionStatus,
)
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import IdPath, ListQuery
from sota.kit.http.paging import link_next, read_cursor
from sota.kit.sql.database import Database
from sota.resolver.dependencies.api import to_wire as edges_to_wire
from sota.resolver.dependencies.model import LeftOut, Plan, Planned, to_package_id
from sota.resolver.index.workers import Workers
from sota.resolver.recorded.comparison import Differing, compare
from sota.resolver.recorded.model import Kind
from sota.resolver.recorded.service import Record, Records


class RecordedApi:
    """Recorded resolutions, for the Web Server and Core."""

    def __init__(self, db: Database, records: Records, workers: Workers) -> None:
        self.db, self.records, self.workers = db, records, workers

    @serves("X-B3-22", "X-B5-2")
    async def find(self, call: Call[IdPath, None, None]) -> Reply:
        """Return what was decided, when, and by what."""
        return Reply("found", to_wire(await self.records.look(UUID(call.path.id))))

    @serves("X-B3-23")
    async def chosen(self, call: Call[IdPath, ListQuery, None]) -> Reply:
        """Return the chosen vehicles, a page at a time."""
        return await self._page(call, Kind.CHOSEN)

    @serves("X-B3-24")
    async def left_out(self, call: Call[IdPath, ListQuery, None]) -> Reply:
        """Return the vehicles that were left out, a page at a time."""
        return await self._page(call, Kind.LEFT_OUT)

    @serves("X-B3-25")
    async def difference(self, call: Call[IdPath, DifferenceQuery, None]) -> Reply:
        """Return the vehicles for which another resolution decided otherwise, a page at a time."""
        limit, after = call.query.limit, read_cursor(call)
        records = await self.records.open(UUID(call.path.id)), await self.records.open(UUID(call.query.to))
        found, following = await compare(self.db, self.workers, records, after, limit)
        headers = link_next(call, following) if following is not None else {}
        return Reply("listed" if found else "empty", [_difference(one) for one in found], headers=headers)

    async def _page(self, call: Call[IdPath, ListQuery, None], kind: Kind) -> Reply:
        limit, after = call.query.limit, read_cursor(call)
        record = await self.records.open(UUID(call.path.id))
        found = await self.records.list(record, kind, after, limit + 1)
        headers = link_next(call, found[limit - 1][0]) if len(found) > limit else {}
        verdicts = record.content.verdicts
        body = [_entry(vin, verdicts[number].plan) for vin, number in found[:limit]]
        return Reply("listed" if body else "empty", body, headers=headers)


def to_wire(record: Record) -> Resolution:
    """Format a record without its lists for B3."""
    row, content = record.row, record.content
    needs = [(one, need) for one, its in content.needs for need in its]
    return Resolution(
        resolution_id=str(row.id),
        package=to_package_id(row.package),
        status=ResolutionStatus.INCOMPLETE if row.completed_at is None else ResolutionStatus.COMPLETE,
        begun_at=row.begun_at,
        completed_at=row.completed_at,
        chosen=row.chosen,
        left_out=row.left_out,
        erased=row.erased,
        filters=[Filter(name=name, expression=expression) for name, expression in content.filters],
        dependencies=edges_to_wire(needs),
        plans=[
            PlanCount(packages=[to_package_id(one) for one in verdict.packages], count=verdict.count)
            for verdict in content.verdicts
            if verdict.code is None
        ],
        reasons=[
            ReasonCount(code=verdict.code, reason=verdict.reason or "", count=verdict.count)
            for verdict in content.verdicts
            if verdict.code is not None
        ],
    )


def _entry(vin: str, plan: Plan) -> Resolved | LeftOutVehicle:
    if isinstance(plan, LeftOut):
        return LeftOutVehicle(vin=vin, code=plan.code, reason=plan.reason)
    return Resolved(vin=vin, packages=[to_package_id(one) for one in plan.packages])


def _difference(one: Differing) -> Difference:
    was, is_now = isinstance(one.before, Planned), isinstance(one.after, Planned)
    change = Change.CHANGED if was is is_now else Change.ADDED if is_now else Change.REMOVED
    return Difference(vin=one.vin, change=change, before=_decided(one.before), after=_decided(one.after))


def _decided(plan: Plan | None) -> Decided | None:
    match plan:
        case None:
            return None
        case Planned(packages):
            return Decided(packages=[to_package_id(one) for one in packages])
        case LeftOut(code, reason):
            return Decided(code=code, reason=reason)
