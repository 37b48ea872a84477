"""SQL that writes a request and its updates, set-wise: one statement for up to 2,000 vehicles.

The VINs of a slice are passed as one JSON array; the database does the rest while the event loop is free. ``_ENGINES``
has what differs between the engines.
"""

# ruff: noqa: S608 - the texts put together are ours; every value is bound
from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from sota.core.packages.model import Package
from sota.core.requests.model import InstallRequest, Order, PackageKey, refused_versions
from sota.core.requests.set_store import size_of
from sota.core.tables import install_request, update
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx

AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Slice:
    """At most 2,000 vehicles that need the same packages; the requested package is the last."""

    position: int
    packages: tuple[PackageKey, ...]
    vins: Sequence[str]


@dataclass(frozen=True, slots=True)
class Staged:
    """What was written of a slice: updates with ids from ``first`` to ``last``, and how many vehicles were left out.

    ``written`` is how many updates, ``queued`` how many of them are not failed ones.
    """

    slice: Slice
    first: UUID
    last: UUID
    queued: int
    written: int
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Engine:
    vehicles: str
    id: str
    join: str
    versions: str
    unchecked: str


_LISTED = (
    "JSON_TABLE(:vins, '$[*]' COLUMNS (n FOR ORDINALITY, vin VARCHAR(17) CHARACTER SET utf8mb4 "
    "COLLATE utf8mb4_bin PATH '$')) j STRAIGHT_JOIN vehicle v ON v.vin = j.vin"
)
_ENGINES = {
    "sqlite": _Engine(
        vehicles="json_each(:vins) j CROSS JOIN vehicle v ON v.vin = j.value",
        # It cannot read hexadecimal digits.
        id="SUBSTR(:ids, 16 * j.key + 1, 16)",
        join="CROSS JOIN",
        # All versions that any vehicle has: SQLite has no other writer now, and skipping through the index is quick.
        versions="WITH RECURSIVE found(version) AS (SELECT MIN(version) FROM installed_package WHERE name = :name "
        "UNION ALL SELECT (SELECT MIN(p.version) FROM installed_package p WHERE p.name = :name "
        "AND p.version > f.version) FROM found f WHERE f.version IS NOT NULL) "
        "SELECT version FROM found WHERE version IS NOT NULL",
        unchecked="",
    ),
    "mysql": _Engine(
        vehicles=_LISTED,
        id="UNHEX(CONCAT(:prefix, LPAD(HEX(j.n - 1), 8, '0')))",
        join="STRAIGHT_JOIN",
        # The versions that these vehicles have; what is read is locked.
        versions=f"SELECT DISTINCT p.version FROM {_LISTED} LEFT JOIN installed_package p "
        "ON p.vin = v.vin AND p.name = :name WHERE v.retired_at IS NULL FOR UPDATE",
        # What the rows refer to is locked by this transaction, or written by it.
        unchecked="SET STATEMENT foreign_key_checks = 0 FOR ",
    ),
}


async def insert_request(tx: Tx, request: InstallRequest) -> None:
    """Insert one package of a request."""
    order = request.order
    await tx.execute(
        install_request.insert().values(
            id=request.id,
            position=request.position,
            kind=request.kind,
            name=request.name,
            package_name=order.package[0],
            package_version=order.package[1],
            priority=order.priority,
            start_at=order.start,
            end_at=order.end,
            request_confirmation=order.request_confirmation,
            command=order.command,
            allow_downgrade=order.allow_downgrade,
            data_plan_threshold=order.data_plan_threshold,
            description=order.description,
            left_out=request.left_out,
            created_at=request.created_at,
            resolution_id=request.resolution_id,
        )
    )


async def write_left_out(tx: Tx, request_id: UUID, position: int, reasons: Mapping[str, int]) -> None:
    """Write how many vehicles of a request's package were left out, by reason."""
    is_it = sa.and_(install_request.c.id == request_id, install_request.c.position == position)
    text = msgspec.json.encode(dict(reasons), order="sorted").decode() if reasons else None
    await tx.execute(
        install_request.update().where(is_it).values(left_out=sum(reasons.values()), left_out_reasons=text)
    )


async def stage(
    tx: Tx, request: InstallRequest, part: Slice, packages: Mapping[PackageKey, Package], set_number: int | None
) -> Staged:
    """Write an update for each vehicle of a slice that may have it.

    ``set_number`` is the number of their package set. Without one, because a package of it is not registered here, the
    updates are failed ones, reason ``dependency``. The vehicles' rows are locked first: a vehicle that is retired, or
    reports another version, at this moment is seen so here, or that transaction finds the updates.
    """
    write = _Statements.of(tx)
    order, vins = request.order, sorted(part.vins)
    listed = {"vins": msgspec.json.encode(vins).decode(), "name": order.package[0]}
    versions = (await tx.execute(write.versions, listed)).scalars()
    refused = refused_versions(order, [version for version in versions if version is not None])
    ids = new_ids(len(vins))
    first, last = UUID(bytes=ids[:16]), UUID(bytes=ids[-16:])
    values = _update_values(request, part, packages, set_number)
    chosen: dict[str, object] = {**listed, "ids": ids, "prefix": ids[:12].hex()}
    if order.command == "remove":
        whom, chosen["only"] = "having", order.package[1]
    elif refused:
        whom, chosen["refused"] = "without", sorted(refused)
    else:
        whom = "all"
    queued = (await tx.execute(write.updates(whom, tuple(values)), values | chosen)).rowcount
    left_out = {} if queued == len(vins) else await _count_left_out(tx, order, listed, total=len(vins), queued=queued)
    return Staged(part, first, last, 0 if set_number is None else queued, queued, left_out)


async def read_staged(tx: Tx, staged: Staged) -> list[tuple[UUID, str]]:
    """Read the updates of a slice: ids and VINs."""
    query = sa.select(update.c.update_id, update.c.vin).where(update.c.update_id.between(staged.first, staged.last))
    return [(row.update_id, row.vin) for row in await tx.execute(query)]


def new_ids(count: int) -> bytes:
    """Make ids that follow each other, 16 bytes each: a UUIDv7 whose last 32 bits count."""
    prefix = new_id().bytes[:12]
    return b"".join([prefix + number.to_bytes(4, "big") for number in range(count)])


class _Statements:
    """The statements for an engine, each built once."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self.known = sa.text(f"SELECT COUNT(*) FROM {engine.vehicles} WHERE v.retired_at IS NULL")
        self.versions = sa.text(engine.versions)
        self.having = sa.text(
            f"SELECT COUNT(*) FROM {engine.vehicles} {engine.join} installed_package p "
            "ON p.vin = v.vin AND p.name = :name AND p.version = :only WHERE v.retired_at IS NULL"
        )
        self._updates: dict[str, sa.TextClause] = {}

    @classmethod
    def of(cls, tx: Tx) -> _Statements:
        """Return those of a connection's engine."""
        return _statements("sqlite" if tx.dialect.name == "sqlite" else "mysql")

    def updates(self, whom: str, columns: Sequence[str]) -> sa.TextClause:
        """Return the insert for vehicles that have one version, that have none of some versions, or for all."""
        if whom not in self._updates:
            self._updates[whom] = self._build(whom, columns)
        return self._updates[whom]

    def _build(self, whom: str, columns: Sequence[str]) -> sa.TextClause:
        having = "EXISTS (SELECT 1 FROM installed_package p WHERE p.vin = v.vin AND p.name = :name AND p.version {})"
        condition = {
            "having": f"AND {having.format('= :only')}",
            "without": f"AND NOT {having.format('IN :refused')}",
            "all": "",
        }[whom]
        engine = self._engine
        statement = sa.text(
            f"{engine.unchecked}INSERT INTO vehicle_update (update_id, vin, {', '.join(columns)}) "
            f"SELECT {engine.id}, v.vin, {', '.join(f':{name}' for name in columns)} FROM {engine.vehicles} "
            f"WHERE v.retired_at IS NULL {condition}"
        )
        typed = [sa.bindparam(name, type_=update.c[name].type) for name in columns]
        if ":ids" in engine.id:
            typed.append(sa.bindparam("ids", type_=sa.LargeBinary()))
        statement = statement.bindparams(*typed)
        return statement.bindparams(sa.bindparam("refused", expanding=True)) if whom == "without" else statement


@functools.cache
def _statements(engine: str) -> _Statements:
    return _Statements(_ENGINES[engine])


def _update_values(
    request: InstallRequest, part: Slice, packages: Mapping[PackageKey, Package], set_number: int | None
) -> dict[str, object]:
    order, now, failed = request.order, request.created_at, set_number is None
    ended: datetime | None = now if failed else None
    return {
        "request_id": request.id,
        "position": request.position,
        "package_name": order.package[0],
        "package_version": order.package[1],
        "size": 0 if failed else sum(size_of(request, packages[key]) for key in part.packages),
        "status": "failed" if failed else "pending",
        "reason": "dependency" if failed else None,
        "priority": order.priority,
        "start_at": order.start,
        "end_at": order.end,
        "created_at": now,
        "changed_at": now,
        "completed_at": ended,
        "attempts": 0,
        "next_try_at": order.start,
        "set_number": set_number,
    }


async def _count_left_out(
    tx: Tx, order: Order, listed: Mapping[str, str], *, total: int, queued: int
) -> dict[str, int]:
    """Count the vehicles that got no update, by reason; their rows did not change since the others were written."""
    write = _Statements.of(tx)
    known = (await tx.execute(write.known, listed)).scalar_one()
    if order.command == "remove":
        counts = {"unknown_vin": total - known, "not_installed": known - queued}
    else:
        having = (await tx.execute(write.having, dict(listed) | {"only": order.package[1]})).scalar_one()
        counts = {"unknown_vin": total - known, "installed_already": having, "downgrade": known - queued - having}
    return {reason: count for reason, count in counts.items() if count}
