"""Use cases of transfers that change the database: each is one transaction, committed by its caller.

An update is ``installed`` only when the vehicle has said so for all its downloads; what a vehicle says that it runs is
recorded whatever became of the update, and goes to the Resolver as a fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sota.boundaries.b7_core_rvi.messages import InstalledSoftware, InstallReport, ReportStatus
from sota.boundaries.values import Reason
from sota.core import facts
from sota.core.transfers import dispatch_store, retry_store, store
from sota.core.transfers.model import Download, DownloadState
from sota.core.transfers.retry_store import Retry
from sota.core.transfers.store import Ending
from sota.core.vehicles import software_store
from sota.core.vehicles import store as vehicle_store
from sota.core.vehicles.model import PackageKey, after_install, after_removal, differences
from sota.kit.clock import Clock
from sota.kit.db import Tx
from sota.kit.errors import Conflict, NotFound

MAX_RESULT_TEXT = 60_000
NEVER_INSTALLED = frozenset({Reason.VERIFICATION_FAILED, Reason.DECLINED, Reason.ABORTED, Reason.DEPENDENCY,
                             Reason.EXPIRED, Reason.UNREACHABLE, Reason.DATA_PLAN, Reason.CANCELLED})  # fmt: skip
"""Reasons after which the installer did not run: a report without a running version says nothing then."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a report: the row's outcome, the Package ID, and whether the update ended with it."""

    outcome: str
    package: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Alive:
    """How long a sign of life keeps a transfer its ``owner``'s, and when its vehicle is told again without one."""

    owner: str
    lease: timedelta
    retry: timedelta


async def require_download(tx: Tx, vin: str, download_index: int) -> Download:
    """Give a download by its index.

    Raises:
        NotFound: the vehicle has no such download.
    """
    found = await store.find_download(tx, vin, download_index)
    if found is None:
        raise NotFound(f"There is no download {download_index} for this vehicle.")
    return found


async def find_to_begin(tx: Tx, vin: str, download_index: int) -> Download:
    """Give a download that the vehicle asks for: to begin it, to go on with it, or to say that it is installed.

    Raises:
        NotFound: the vehicle has no such download.
        Conflict: its update is not under way.
    """
    found = await require_download(tx, vin, download_index)
    if found.state is not DownloadState.INSTALLED and found.update_status != "in_flight":
        raise Conflict(f"The update of download {download_index} is {found.update_status}.")
    return found


async def end(tx: Tx, update_id: UUID, ending: Ending, clock: Clock) -> list[tuple[str, int]]:
    """End an update that is open; gives the downloads that its vehicle should be told to drop."""
    dropped = await store.open_downloads(tx, [update_id])
    return dropped if await store.end_updates(tx, [update_id], ending, clock.now()) else []


async def give_up(tx: Tx, update_id: UUID, owner: str, retry: Retry, clock: Clock) -> list[tuple[str, int]] | None:
    """Fail an update whose vehicle does not answer us, and queue another try; None where another Core drives it by now.

    Gives the downloads that the vehicle should be told to drop.
    """
    if not await store.is_driven_by(tx, update_id, owner):
        return None
    dropped = await end(tx, update_id, Ending("failed", Reason.UNREACHABLE.value), clock)
    if dropped:
        await retry_store.try_again(tx, update_id, retry, clock.now())
    return dropped


async def expire(tx: Tx, clock: Clock, limit: int) -> list[tuple[str, int]]:
    """Fail what is not installed at its interval's end; gives the downloads to drop."""
    due = await dispatch_store.expired_updates(tx, clock.now(), limit)
    if not due:
        return []
    dropped = await store.open_downloads(tx, due)
    await store.end_updates(tx, due, Ending("failed", Reason.EXPIRED.value), clock.now())
    return dropped


async def record_report(tx: Tx, report: InstallReport, clock: Clock) -> Recorded:
    """Record what a vehicle did with a download, and what it runs now.

    Raises:
        NotFound: the vehicle has no such download.
    """
    of = await require_download(tx, report.vin, report.download_index)
    if of.state is DownloadState.INSTALLED:
        return Recorded("already_complete", of.package_text, ended=False)
    now = clock.now()
    installed = _says_installed(report)
    await _record_running(tx, of, report, installed, clock)
    was_closed = of.state is DownloadState.FAILED or of.update_status not in ("pending", "in_flight")
    if was_closed:
        # The update is over (it expired, or a prerequisite failed): the vehicle's own words are kept all the same.
        await _keep_operations(tx, report, now)
        outcome = "already_complete" if of.update_status == "installed" else "already_failed"
        return Recorded(outcome, of.package_text, ended=False)
    await _keep_operations(tx, report, now)
    if not installed:
        await store.set_state(tx, of, DownloadState.FAILED, _reason(report).value)
        await store.end_updates(tx, [of.update_id], _ending(report), now)
        return Recorded("failure_recorded", of.package_text, ended=True)
    await store.set_state(tx, of, DownloadState.INSTALLED)
    states = await store.read_states(tx, of.update_id)
    if all(state is DownloadState.INSTALLED for state in states):
        code, text = _first_result(report, succeeded=True)
        await store.end_updates(tx, [of.update_id], Ending("installed", None, code, text), now)
        return Recorded("installed", of.package_text, ended=True)
    return Recorded("installed", of.package_text, ended=False)


async def record_packages(tx: Tx, software: InstalledSoftware, clock: Clock) -> None:
    """Take a vehicle's word for everything that it has installed, firmware and changes by hand included (B7-8).

    Raises:
        NotFound: the VIN is not registered.
    """
    if software.outcome is not None and software.outcome.status >= 400:
        return  # it cannot tell
    packages = {(package.name, package.version) for package in software.packages}
    await _write_installed(tx, software.vin, packages, clock)
    firmware = {one.module: (one.version, one.changed_at) for one in software.firmware}
    await software_store.write_firmware(tx, software.vin, firmware)
    changes = [(one.at, one.package.name, one.operation.value, one.package.version) for one in software.changes]
    await software_store.add_changes(tx, software.vin, changes)


async def _record_running(tx: Tx, of: Download, report: InstallReport, installed: bool, clock: Clock) -> None:
    before = (await vehicle_store.read_installed(tx, [of.vin]))[of.vin]
    name = of.package[0]
    if installed and of.command == "remove":
        after = after_removal(before, name)
    elif installed:
        after = after_install(before, of.package)
    elif report.running_version is not None:
        after = after_install(before, (name, report.running_version))
    elif _reason(report) in NEVER_INSTALLED:
        return
    else:
        after = after_removal(before, name)
    await _write_installed(tx, of.vin, after, clock)


async def _write_installed(tx: Tx, vin: str, packages: set[PackageKey], clock: Clock) -> None:
    result = await vehicle_store.change_installed(tx, vin, packages, clock.now())
    if result.outcome == "missing":
        raise NotFound("This VIN is not registered.")
    added, removed = differences(result.data or set(), packages)
    await facts.tell(tx, clock, [(vin, facts.package_changes(vin, added, removed))])


async def _keep_operations(tx: Tx, report: InstallReport, now: datetime) -> None:
    operations = [
        (operation.id, operation.result_code, operation.result_text[:MAX_RESULT_TEXT])
        for operation in report.operations
    ]
    await store.insert_operations(tx, report.vin, report.download_index, operations, now)


def _says_installed(report: InstallReport) -> bool:
    """Believe the vehicle's verification, its last operation: one before it may have been interrupted and repaired."""
    verified = not report.operations or report.operations[-1].succeeded
    return report.status is ReportStatus.INSTALLED and verified


def _ending(report: InstallReport) -> Ending:
    status = "cancelled" if report.status is ReportStatus.CANCELLED else "failed"
    code, text = _first_result(report, succeeded=False)
    return Ending(status, _reason(report).value, code, text)


def _reason(report: InstallReport) -> Reason:
    if report.reason is not None:
        return report.reason
    return Reason.CANCELLED if report.status is ReportStatus.CANCELLED else Reason.INSTALL_FAILED


def _first_result(report: InstallReport, *, succeeded: bool) -> tuple[int | None, str | None]:
    """Give the result that tells most: the first failing operation, or the last one where all went well."""
    if not report.operations:
        return None, None
    failing = [operation for operation in report.operations if not operation.succeeded]
    chosen = failing[0] if failing and not succeeded else report.operations[-1]
    return chosen.result_code, chosen.result_text[:MAX_RESULT_TEXT]
