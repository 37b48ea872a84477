"""SQL that writes a request and its updates: a set of vehicles at a time, never one statement a vehicle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.core.packages.model import Package
from sota.core.requests.model import InstallRequest, Order, PackageKey
from sota.core.tables import download, install_request, installed_package, update, vehicle
from sota.kit.clock import new_id
from sota.kit.db import Tx

CHUNK = 500


@dataclass(frozen=True, slots=True)
class QueuedUpdate:
    """An update that was written."""

    update_id: UUID
    vin: str
    packages: list[PackageKey]


async def insert_request(tx: Tx, request: InstallRequest) -> None:
    """Persist one package of a request."""
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
        )
    )


async def read_versions(tx: Tx, vins: list[str], name: str) -> dict[str, set[PackageKey]]:
    """Read which versions of a package vehicles have; an entry for every vehicle that may get updates."""
    found: dict[str, set[PackageKey]] = {}
    for start in range(0, len(vins), CHUNK):
        chunk = vins[start : start + CHUNK]
        # Their rows are locked: a vehicle that is retired at this moment is either seen so here, or finds the updates.
        query = sa.select(vehicle.c.vin).where(vehicle.c.vin.in_(chunk), vehicle.c.retired_at.is_(None))
        known = await tx.execute(query.with_for_update())
        found.update({row.vin: set() for row in known})
        columns = (installed_package.c.vin, installed_package.c.version)
        having = sa.select(*columns).where(installed_package.c.vin.in_(chunk), installed_package.c.name == name)
        for row in await tx.execute(having):
            if row.vin in found:
                found[row.vin].add((name, row.version))
    return found


async def insert_updates(
    tx: Tx,
    request: InstallRequest,
    updates: Mapping[str, list[PackageKey]],
    packages: Mapping[PackageKey, Package],
    block_size: int,
) -> list[QueuedUpdate]:
    """Persist an update and its downloads for each vehicle; indexes come from the vehicle's counter, never reused.

    A vehicle that needs a package which is not registered here gets a failed update, reason ``dependency``;
    of a blacklisted one, reason ``blacklisted``.
    """
    queued: list[QueuedUpdate] = []
    vins = sorted(updates)
    for start in range(0, len(vins), CHUNK):
        chunk = vins[start : start + CHUNK]
        first = await _take_indexes(tx, {vin: len(updates[vin]) for vin in chunk})
        update_rows, download_rows = [], []
        for vin in chunk:
            reason = why_not(request.order, updates[vin], packages)
            wanted = [] if reason else updates[vin]
            size = sum(_size(request, packages[package]) for package in wanted)
            row = _update_row(request, vin, size, reason)
            update_rows.append(row)
            download_rows += [
                _download_row(row["update_id"], vin, first[vin] + position, packages[package], block_size)
                | {"position": position, "size": _size(request, packages[package])}
                for position, package in enumerate(wanted)
            ]
            if reason is None:
                queued.append(QueuedUpdate(row["update_id"], vin, updates[vin]))
        await tx.execute(update.insert(), update_rows)
        if download_rows:
            await tx.execute(download.insert(), download_rows)
    return queued


def why_not(order: Order, wanted: Sequence[PackageKey], packages: Mapping[PackageKey, Package]) -> str | None:
    """Say why a vehicle cannot get these packages, None where it can."""
    if any(package not in packages for package in wanted):
        return "dependency"
    return None if all(order.may_go(packages[package]) for package in wanted) else "blacklisted"


async def _take_indexes(tx: Tx, counts: Mapping[str, int]) -> dict[str, int]:
    query = sa.select(vehicle.c.vin, vehicle.c.next_download_index).where(vehicle.c.vin.in_(list(counts)))
    found = {row.vin: row.next_download_index for row in await tx.execute(query.with_for_update())}
    by_count: dict[int, list[str]] = defaultdict(list)
    for vin, count in counts.items():
        by_count[count].append(vin)
    for count, vins in by_count.items():
        await tx.execute(
            vehicle.update()
            .where(vehicle.c.vin.in_(vins))
            .values(next_download_index=vehicle.c.next_download_index + count)
        )
    return found


def _update_row(request: InstallRequest, vin: str, size: int, reason: str | None) -> dict[str, Any]:
    order, now = request.order, request.created_at
    ended: datetime | None = now if reason else None
    return {
        "update_id": new_id(),
        "request_id": request.id,
        "position": request.position,
        "vin": vin,
        "package_name": order.package[0],
        "package_version": order.package[1],
        "size": size,
        "status": "failed" if reason else "pending",
        "reason": reason,
        "priority": order.priority,
        "start_at": order.start,
        "end_at": order.end,
        "created_at": now,
        "changed_at": now,
        "completed_at": ended,
        "next_try_at": order.start,
    }


def _download_row(update_id: UUID, vin: str, index: int, package: Package, block_size: int) -> dict[str, Any]:
    return {
        "vin": vin,
        "download_index": index,
        "update_id": update_id,
        "package_name": package.name,
        "package_version": package.version,
        "block_size": block_size,
        "received": "",
        "state": "pending",
    }


def _size(request: InstallRequest, package: Package) -> int:
    """How many bytes the vehicle gets: none where the package is to go."""
    return 0 if request.order.command == "remove" else package.size
