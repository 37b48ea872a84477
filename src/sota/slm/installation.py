"""Installs one download, and keeps its report: a package is one operation, an update image several (``images/``).

Killed at any moment and called again, it continues from the journal and the installer's own database.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET, UnsetType

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b7_core_rvi.messages import InstallReport, Operation, ReportStatus, StartDownload
from sota.boundaries.update_image.manifest import IMAGE
from sota.boundaries.values import Command, OutcomeReport, Reason
from sota.kit.runtime.logging import get_logger
from sota.slm.boot import Boot
from sota.slm.entry import DownloadEntry, State
from sota.slm.images.installation import ImageInstallation
from sota.slm.installers import Capability, Installer, InstallerFailed
from sota.slm.journal import Journal
from sota.slm.model import Finished, Job, ResultCode, StepRecord, code_of
from sota.slm.operation import OperationRunner, PackageOperation, code_without_answer, refuse_old_version
from sota.slm.preconditions import Preconditions
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import StepRunner

TEXTS_LIMIT = 250_000
"""Characters of all steps' output together: a report is one message, however often its steps were interrupted."""
INTERRUPTED_TEXT = "interrupted: the power failed or the installer was killed; its database shows what was done"


class Installation:
    """Installs and removes what downloads bring, one at a time."""

    def __init__(
        self,
        settings: SlmSettings,
        journal: Journal,
        installers: Sequence[Installer],
        runner: StepRunner,
        boot: Boot,
        preconditions: Preconditions,
        *,
        pause_s: float | None = None,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._installers = {installer.name: installer for installer in installers}
        self.operations = OperationRunner(settings, journal, runner, boot, pause_s)
        self.images = ImageInstallation(settings, journal, self._installers, self.operations)
        self.preconditions = preconditions
        self._log = get_logger(program="slm")

    def prepare(self) -> None:
        """Create the folders of backups and installers."""
        self.operations.backups.prepare()
        for installer in self._installers.values():
            try:
                installer.prepare()
            except InstallerFailed as error:  # an update that needs it reports this
                self._log.error("installer_not_prepared", installer=installer.name, detail=error.detail)

    async def install(self, entry: DownloadEntry, file: Path) -> None:
        """Install or remove what ``entry`` requests. Returns when its end and its report are in the journal."""
        start = entry.start
        if start is None:
            raise ValueError(f"download {entry.download_index} has no start")
        if start.installer != IMAGE and start.installer not in self._installers:
            text = f"This vehicle has no installer {start.installer!r}."
            await self.fail(entry, ResultCode.VALIDATION_FAILED, Reason.INSTALL_FAILED, text)
            return

        async def work() -> Finished | None:
            current = await self._current(entry)
            if current.state.is_final:  # cancelled while the installer was retried
                return None
            if start.installer == IMAGE:
                return await self._install_image(current, start, file)
            return await self._install_package(current, start, file)

        try:
            finished = await self.operations.retry(entry.download_index, work)
        except InstallerFailed as error:
            finished = Finished(False, code_without_answer(error.detail), Reason.INSTALL_FAILED, error.detail)
        if finished is not None:
            await self._end(await self._current(entry), finished)

    async def _current(self, entry: DownloadEntry) -> DownloadEntry:
        """Return an entry as the journal has it now, unless its index belongs to another download."""
        found = await self._journal.download(entry.download_index)
        return found if found is not None and found.identity == entry.identity else entry

    async def is_installed(self, entry: DownloadEntry) -> bool:
        """Report whether the installer's own database shows what a download brings."""
        start = entry.start
        if start is None:
            return False
        if start.installer == IMAGE:
            return await self.images.installed_version(start.package.name) == start.package.version
        installer = self._installers.get(start.installer)
        if installer is None:
            return False
        try:
            found = await installer.find(start.package.name)
        except InstallerFailed:  # unknown: it is installed again, which shows it
            return False
        return found.runs(start.package.version if start.command is Command.INSTALL else None)

    async def confirm(self, entry: DownloadEntry) -> None:
        """End a download that is already installed, without its file."""
        done = "is not installed" if entry.removes else "is installed"
        text = f"{entry.package.name} {entry.package.version} {done}"
        await self._end(entry, Finished(True, ResultCode.ALREADY_PROCESSED, None, text))

    async def fail(self, entry: DownloadEntry, code: ResultCode, reason: Reason, text: str) -> None:
        """End a download as failed, with what was done so far in its report."""
        await self._end(entry, Finished(False, code, reason, text))

    async def cancel(self, entry: DownloadEntry) -> None:
        """End a download that the backend or the driver has cancelled."""
        finished = Finished(False, ResultCode.GENERAL_ERROR, Reason.ABORTED, "cancelled before it was installed")
        await self._end(entry, finished, status=ReportStatus.CANCELLED)

    async def decline(self, entry: DownloadEntry) -> None:
        """End a download that the driver has declined."""
        text = "The driver declined the update."
        await self._end(entry, Finished(False, ResultCode.USER_DECLINED, Reason.DECLINED, text), last="consent")

    async def _install_package(self, entry: DownloadEntry, start: StartDownload, file: Path) -> Finished | None:
        """Return the result of a package; None if the download was cancelled before it began."""
        installer = self._installers[start.installer]
        later = await self._later_packages(entry)
        operation = PackageOperation(entry.download_index, start.command, entry.package, installer, file, later=later)
        if entry.state is State.READY:
            refusal = await self.operations.inspect(operation)
            if refusal is not None:
                return refusal
            running = (await installer.find(start.package.name)).running_version
            if start.command is Command.INSTALL and (refusal := await self._refuse_old(installer, running, start)):
                return refusal
            if not await self._journal.begin(entry, running):
                return None
            entry = await self._current(entry)
        finished = await self.operations.run(operation, entry.previous_version, "")
        backups = self.operations.backups
        if finished.succeeded and start.command is Command.INSTALL and Capability.RESTORE in installer.capabilities:
            backups.keep(start.package, installer.name, file)
        await backups.remove_unused(installer)
        return finished

    async def _later_packages(self, entry: DownloadEntry) -> frozenset[str]:
        """Return the packages that the same update replaces after this one."""
        entries = await self._journal.downloads(entry.update_id)
        indexes = [each.download_index for each in entries]
        return frozenset(each.package.name for each in entries[indexes.index(entry.download_index) + 1 :])

    async def _install_image(self, entry: DownloadEntry, start: StartDownload, file: Path) -> Finished | None:
        if start.command is Command.REMOVE:
            text = "An update image cannot be removed; its packages can."
            return Finished(False, ResultCode.REMOVAL_FAILED, Reason.INSTALL_FAILED, text)
        running = await self.images.installed_version(start.package.name)
        if not entry.state.is_begun and (refusal := await self._refuse_old(None, running, start)):
            return refusal
        return await self.images.install(entry, start, file)

    async def _refuse_old(
        self, installer: Installer | None, running: str | None, start: StartDownload
    ) -> Finished | None:
        if self._settings.allow_downgrade or start.allow_downgrade:
            return None
        return await refuse_old_version(installer, running, start.package.version)

    async def _end(
        self, entry: DownloadEntry, finished: Finished, status: ReportStatus | None = None, last: str = "verify"
    ) -> None:
        """Record the end and the report: the preconditions, each step, and last what was found at the end."""
        history, _ = await self._journal.steps(entry.download_index)
        running_version = await self._running_version(entry, ended=finished.succeeded)
        status = status or (ReportStatus.INSTALLED if finished.succeeded else ReportStatus.FAILED)
        complete = outcomes.COMPLETE.render(package=entry.package.text) or ""
        report = InstallReport(
            vin=self._settings.vin,
            download_index=entry.download_index,
            identity=entry.identity,
            status=status,
            operations=[
                *await self._reported_preconditions(entry),
                *await self.images.reported(entry.download_index),
                *reported_steps(entry, history),
                Operation(id=last, result_code=finished.code, result_text=finished.text),
            ],
            running_version=running_version,
            reason=finished.reason,
            outcome=OutcomeReport(status=200, message=complete) if finished.succeeded else None,
        )
        image = entry.package if entry.is_image and finished.succeeded else None
        await self._journal.finish(State(status), report, image=image)
        self.operations.backups.forget(entry.download_index)
        self._log.info(
            "download_ended", download_index=entry.download_index, package=entry.package.text, status=str(status)
        )

    async def _reported_preconditions(self, entry: DownloadEntry) -> list[Operation]:
        checked = await self.preconditions.found(entry.update_id)
        if checked is None:
            return []
        code = ResultCode.OK if checked.holds else ResultCode.GENERAL_ERROR
        return [Operation(id="preconditions", result_code=code, result_text=checked.text)]

    async def _running_version(self, entry: DownloadEntry, *, ended: bool) -> str | UnsetType | None:
        if entry.is_image:
            return entry.package.version if ended else await self.images.installed_version(entry.package.name)
        installer = self._installers.get(entry.start.installer) if entry.start else None
        # Before its start has arrived the installer is unknown, unless the vehicle has only one.
        if installer is None and len(self._installers) == 1:
            installer = next(iter(self._installers.values()))
        try:
            return (await installer.find(entry.package.name)).running_version if installer else UNSET
        except InstallerFailed:
            return UNSET


def reported_steps(entry: DownloadEntry, history: Sequence[StepRecord]) -> list[Operation]:
    """Return the steps with their output, as a report has them."""
    command = Command.REMOVE if entry.removes else Command.INSTALL
    job = Job(entry.package.name, entry.package.version, command, entry.previous_version, can_restore=False)
    limit = TEXTS_LIMIT // max(1, len(history))
    return [_reported_step(job, record, limit) for record in history]


def _reported_step(job: Job, record: StepRecord, limit: int) -> Operation:
    text = f"{record.output}\n{INTERRUPTED_TEXT}".strip() if record.exit_code is None else record.output
    return Operation(id=str(record.step), result_code=code_of(job, record), result_text=text[-limit:])
