"""What vehicles report of their downloads (B7-7), recorded for many vehicles in one transaction.

An update is ``installed`` only when the vehicle has reported that for all its downloads. The version that a vehicle
runs is recorded whatever became of the update, and goes to the Resolver as a fact. A report counts only for the
download whose identity it names, in the vehicle's present epoch. Once an installer has run, the vehicle decides, even
after an operator's late stop or the end of the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from sota.boundaries.b7_core_rvi.messages import InstallReport, ReportStatus
from sota.boundaries.values import EndedBy, Reason
from sota.core import facts
from sota.core.requests.model import OPEN
from sota.core.transfers import store
from sota.core.transfers.model import Download, DownloadState, mismatch
from sota.core.transfers.reports import store as report_store
from sota.core.transfers.store import Ending
from sota.core.vehicles import store as vehicle_store
from sota.core.vehicles.model import PackageKey, after_install, after_removal
from sota.kit.errors import NotFound
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx

NEVER_INSTALLED = frozenset({Reason.VERIFICATION_FAILED, Reason.DECLINED, Reason.ABORTED, Reason.DEPENDENCY,
                             Reason.EXPIRED, Reason.UNREACHABLE, Reason.DATA_PLAN, Reason.CANCELLED})  # fmt: skip
"""Reasons after which the installer did not run: a missing version means nothing then."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a report: the row's outcome, the Package ID, and whether the update ended with it."""

    outcome: str
    package: str
    ended: bool


@dataclass(frozen=True, slots=True)
class MatchedReport:
    """A report and the download that it is of."""

    report: InstallReport
    of: Download

    @property
    def is_late(self) -> bool:
        """Whether the download is over and the report changes nothing of that."""
        is_over = self.of.state is DownloadState.FAILED or self.of.update_status not in OPEN
        return is_over and not self.decides

    @property
    def decides(self) -> bool:
        """Whether an installer has run: then the report overrides Core and the operator.

        Of several reports of the vehicle the first one counts.
        """
        was_ended_here = self.of.ended_by in (EndedBy.OPERATOR, EndedBy.CORE)
        if _says_installed(self.report):
            return was_ended_here or self.of.update_status == "cancelled"
        return (
            was_ended_here and self.report.status is ReportStatus.FAILED and _reason(self.report) not in NEVER_INSTALLED
        )


async def record_reports(tx: Tx, reports: Sequence[InstallReport], clock: Clock) -> list[Recorded | NotFound]:
    """Record what vehicles did with their downloads, and what they run now. A batch has each VIN at most once.

    A report that names no download of its vehicle changes nothing: its result is ``other_download``.
    """
    found = await store.find_downloads(tx, [(report.vin, report.download_index) for report in reports])
    results: dict[str, Recorded | NotFound] = {}
    told: list[MatchedReport] = []
    for report in reports:
        of = found.get((report.vin, report.download_index))
        if of is None or mismatch(of, report) is not None:
            results[report.vin] = Recorded("other_download", report.package.text, ended=False)
        elif of.state is DownloadState.INSTALLED:
            results[report.vin] = Recorded("already_complete", of.package_text, ended=False)
        else:
            told.append(MatchedReport(report, of))
    unknown = await _record_running(tx, told, clock)
    results |= {vin: NotFound("This VIN is not registered.") for vin in unknown}
    told = [one for one in told if one.of.vin not in unknown]
    now = clock.now()
    await report_store.write_operations(tx, [one.report for one in told], now)
    for one in told:
        if one.is_late:
            outcome = "already_complete" if one.of.update_status == "installed" else "already_failed"
            results[one.of.vin] = Recorded(outcome, one.of.package_text, ended=False)
    results |= await _end(tx, [one for one in told if not one.is_late], now)
    return [results[report.vin] for report in reports]


async def _record_running(tx: Tx, told: Sequence[MatchedReport], clock: Clock) -> set[str]:
    """Write what vehicles run now and inform the Resolver; return the VINs that are not registered."""
    vins = [one.of.vin for one in told if _says_what_runs(one)]
    known = await vehicle_store.lock_vehicles(tx, vins)
    before = await vehicle_store.read_installed(tx, known) if known else {}
    after = {one.of.vin: _running(one, before[one.of.vin]) for one in told if one.of.vin in before}
    await vehicle_store.write_installed(tx, before, after, clock.now())
    await facts.tell(tx, clock, [(vin, facts.package_changes(vin, before[vin], after[vin])) for vin in after])
    return set(vins) - known


async def _end(tx: Tx, told: Sequence[MatchedReport], now: datetime) -> dict[str, Recorded]:
    """Write the states of downloads, and end the updates that this completes."""
    states = [
        (one.of, DownloadState.INSTALLED, None)
        if _says_installed(one.report)
        else (one.of, DownloadState.FAILED, _reason(one.report).value)
        for one in told
    ]
    await report_store.set_states(tx, states)
    succeeded = [one.of.update_id for one in told if _says_installed(one.report)]
    whole = await report_store.installed_updates(tx, succeeded)
    endings = {one.of.update_id: _ending(one.report) for one in told if not _says_installed(one.report)}
    endings |= {one.of.update_id: _installed(one.report) for one in told if one.of.update_id in whole}
    for ending, update_ids in _grouped(endings).items():
        await store.end_updates(tx, update_ids, ending, now, of=(*OPEN, "cancelled", "failed"))
    return {
        one.of.vin: Recorded(
            "installed" if _says_installed(one.report) else "failure_recorded",
            one.of.package_text,
            ended=one.of.update_id in endings,
        )
        for one in told
    }


def _grouped(endings: Mapping[UUID, Ending]) -> dict[Ending, list[UUID]]:
    """Group updates that end in the same way: most of a fleet do, and need one statement then."""
    groups: dict[Ending, list[UUID]] = {}
    for update_id, ending in endings.items():
        groups.setdefault(ending, []).append(update_id)
    return groups


def _says_what_runs(one: MatchedReport) -> bool:
    report = one.report
    if _says_installed(report):
        return True
    if report.running_version is None:
        return _reason(report) not in NEVER_INSTALLED
    return report.running_version is not UNSET


def _running(one: MatchedReport, before: set[PackageKey]) -> set[PackageKey]:
    report, name = one.report, one.of.package[0]
    if _says_installed(report):
        return after_removal(before, name) if one.of.command == "remove" else after_install(before, one.of.package)
    if isinstance(report.running_version, str):
        return after_install(before, (name, report.running_version))
    return after_removal(before, name)


def _says_installed(report: InstallReport) -> bool:
    """Trust the vehicle's last operation, its verification: an earlier one may have been interrupted and repaired."""
    verified = not report.operations or report.operations[-1].succeeded
    return report.status is ReportStatus.INSTALLED and verified


def _ending(report: InstallReport) -> Ending:
    status = "cancelled" if report.status is ReportStatus.CANCELLED else "failed"
    code, text = _first_result(report, succeeded=False)
    reason = _reason(report)
    return Ending(status, reason.value, code, text, ended_by(reason))


def ended_by(reason: Reason) -> EndedBy:
    """Return who in the vehicle ended an update, by its reason."""
    return EndedBy.DRIVER if reason is Reason.DECLINED else EndedBy.VEHICLE


def _installed(report: InstallReport) -> Ending:
    code, text = _first_result(report, succeeded=True)
    return Ending("installed", None, code, text, EndedBy.VEHICLE)


def _reason(report: InstallReport) -> Reason:
    if report.status is ReportStatus.CANCELLED:
        return report.reason if report.reason is Reason.DECLINED else Reason.ABORTED
    return report.reason or Reason.INSTALL_FAILED


def _first_result(report: InstallReport, *, succeeded: bool) -> tuple[int | None, str | None]:
    """Return the most telling result: the first failing operation, or the last one where all succeeded."""
    if not report.operations:
        return None, None
    failing = [operation for operation in report.operations if not operation.succeeded]
    chosen = failing[0] if failing and not succeeded else report.operations[-1]
    return chosen.result_code, chosen.result_text[: report_store.MAX_RESULT_TEXT]
