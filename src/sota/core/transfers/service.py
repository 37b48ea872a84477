"""Use cases of transfers that change the database: the caller commits each as one transaction.

The reports of vehicles are in ``reports/service.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sota.boundaries.b7_core_rvi.messages import InstalledSoftware
from sota.boundaries.values import Reason
from sota.core.settings import CoreSettings
from sota.core.transfers import store
from sota.core.transfers.dispatching import retry_store
from sota.core.transfers.dispatching import store as dispatch_store
from sota.core.transfers.model import Download, DownloadMessage, DownloadRef, DownloadState, Mismatch, mismatch
from sota.core.transfers.store import Ending
from sota.core.vehicles import service as vehicle_service
from sota.core.vehicles import software_store
from sota.kit.errors import Conflict, NotFound, Refused
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


def meant(found: Download | None, claim: DownloadMessage) -> Download:
    """Return the download that a vehicle's message is about.

    Raises:
        Refused: ``other_download``: the vehicle has no such download, or learned of it in another epoch.
    """
    if found is None or (wrong := mismatch(found, claim)) is not None:
        which = Mismatch.DOWNLOAD if found is None else wrong
        text = f"Download {claim.download_index} of this vehicle is not {claim.identity.package.text} of this {which}."
        raise Refused("other_download", text, values={"package": claim.identity.package.text})
    return found


def may_begin(found: Download) -> Download:
    """Return a download that the vehicle asks for: to begin or continue it, or to answer that it is installed.

    Raises:
        Conflict: its update is not under way.
    """
    if found.state is not DownloadState.INSTALLED and found.update_status != "in_flight":
        raise Conflict(f"The update of download {found.download_index} is {found.update_status}.")
    return found


async def end(tx: Tx, update_id: UUID, ending: Ending, clock: Clock) -> list[DownloadRef]:
    """End an update that is open; return the downloads that its vehicle must drop."""
    dropped = await store.open_downloads(tx, [update_id])
    return dropped if await store.end_updates(tx, [update_id], ending, clock.now()) else []


async def stop(tx: Tx, update_ids: Sequence[UUID], ending: Ending, clock: Clock) -> tuple[list[DownloadRef], int]:
    """End updates unless they are being installed; return the downloads to drop, and how many updates ended."""
    under_way = await store.open_downloads(tx, update_ids)
    ended = await store.end_updates(tx, update_ids, ending, clock.now(), spare_begun=True)
    texts = {str(update_id) for update_id in ended}
    return [one for one in under_way if one.identity.update_id in texts], len(ended)


async def give_up(
    tx: Tx, update_id: UUID, reason: Reason, settings: CoreSettings, clock: Clock
) -> list[DownloadRef] | None:
    """Fail an update that does not reach its vehicle, and queue another try.

    Return the downloads that the vehicle must drop; None where another Core drives the update by now.
    """
    if not await store.is_driven_by(tx, update_id, settings.instance):
        return None
    dropped = await end(tx, update_id, Ending("failed", reason.value), clock)
    if dropped:
        await retry_store.try_again(tx, update_id, settings.retry, clock.now())
    return dropped


async def expire(tx: Tx, clock: Clock, limit: int) -> list[DownloadRef] | None:
    """Fail updates that are not installed at the end of their interval; return the downloads to drop, None at the end.

    An update that another Core ended first is left to the next round, so that each round ends.
    """
    due = await dispatch_store.expired_updates(tx, clock.now(), limit)
    if not due:
        await dispatch_store.close_requests(tx, clock.now(), limit)
        return None
    dropped = await store.open_downloads(tx, due)
    ended = await store.end_updates(tx, due, Ending("failed", Reason.EXPIRED.value), clock.now())
    return dropped if ended else None


async def record_packages(tx: Tx, software: InstalledSoftware, clock: Clock) -> None:
    """Record everything that a vehicle has installed, with firmware and changes made by hand (B7-8).

    Raises:
        NotFound: the VIN is not registered.
    """
    if software.outcome is not None and software.outcome.status >= 400:
        return  # the vehicle cannot list its packages
    packages = {(package.name, package.version) for package in software.packages}
    if await vehicle_service.change_packages(tx, software.vin, packages, clock) is None:
        raise NotFound("This VIN is not registered.")
    firmware = {one.module: (one.version, one.changed_at) for one in software.firmware}
    await software_store.write_firmware(tx, software.vin, firmware)
    changes = [(one.at, one.package.name, one.operation.value, one.package.version) for one in software.changes]
    await software_store.add_changes(tx, software.vin, changes)
