"""Reports of many vehicles at once: each gets its own answer, although one transaction writes several."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b7_core_rvi.messages import InstallReport, Operation, ReportStatus
from sota.boundaries.values import DownloadIdentity, Reason
from sota.core.transfers.reports.service import Recorded
from sota.core.transfers.reports.writer import ReportWriter
from tests.support.core import Offer, RunningCore, running_core

pytestmark = pytest.mark.anyio


def report(offer: Offer, status: ReportStatus = ReportStatus.INSTALLED, *, index: int | None = None) -> InstallReport:
    _, _, version = offer.package.partition("/")
    succeeded = status is ReportStatus.INSTALLED
    return InstallReport(
        vin=offer.vehicle.vin,
        download_index=offer.index if index is None else index,
        identity=msgspec.convert(offer.identity, DownloadIdentity),
        epoch=offer.notified["epoch"],
        status=status,
        operations=[Operation(id="install", result_code=0 if succeeded else 5, result_text="said by the installer")],
        running_version=version if succeeded else None,
        reason=None if succeeded else Reason.INSTALL_FAILED,
    )


async def test_reports_that_come_together_are_recorded_each_for_itself(core: RunningCore) -> None:
    good, bad, lost, twice = [await core.offer() for _ in range(4)]
    writer = ReportWriter(core.program.db, core.program.clock)

    results = await asyncio.gather(
        writer.submit(report(good)),
        writer.submit(report(bad, ReportStatus.FAILED)),
        writer.submit(report(lost, index=4711)),
        writer.submit(report(twice)),
        writer.submit(report(twice)),
        return_exceptions=True,
    )

    assert results[0] == Recorded("installed", good.package, ended=True)
    assert results[1] == Recorded("failure_recorded", bad.package, ended=True)
    assert results[2] == Recorded("other_download", lost.package, ended=False)
    assert list(results[3:]) == [
        Recorded("installed", twice.package, ended=True),
        Recorded("already_complete", twice.package, ended=False),
    ]
    assert (await good.update())["status"] == "installed"
    failed = await bad.update()
    assert (failed["status"], failed["reason"]) == ("failed", "install_failed")
    assert (await lost.update())["status"] == "in_flight"
    name, _, version = good.package.partition("/")
    assert await core.installed(good.vehicle.vin) == [{"name": name, "version": version}]
    assert await core.installed(bad.vehicle.vin) == []


async def test_report_that_cannot_be_written_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path) as core:
        good, cursed = [await core.offer() for _ in range(2)]
        await core.execute(
            f"CREATE TRIGGER curse BEFORE UPDATE ON download WHEN NEW.vin = '{cursed.vehicle.vin}'"
            " BEGIN SELECT RAISE(ABORT, 'cursed'); END"
        )
        writer = ReportWriter(core.program.db, core.program.clock)

        results = await asyncio.gather(
            writer.submit(report(good)), writer.submit(report(cursed)), return_exceptions=True
        )

        assert results[0] == Recorded("installed", good.package, ended=True)
        assert isinstance(results[1], SQLAlchemyError)
        assert (await good.update())["status"] == "installed"
        assert (await cursed.update())["status"] == "in_flight"
