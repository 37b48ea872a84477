"""Carries the installation of one file out: looks at it first, has it done, keeps what going back needs, reports.

Killed anywhere and called again, it goes on where the journal and the installer's own database say that it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import UNSET, UnsetType

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b10_client_slm.messages import InstallReport, Operation, ReportStatus, StartDownload
from sota.boundaries.update_image.manifest import IMAGE
from sota.boundaries.values import Command, OutcomeReport, Reason
from sota.kit.runtime.logging import get_logger
from sota.slm.entry import DownloadEntry, State
from sota.slm.images.installation import ImageInstallation
from sota.slm.installers import BadPackage, Capability, Installer, InstallerFailed, Unsafe
from sota.slm.journal import Journal
from sota.slm.model import Finished, Job, ResultCode, StepRecord, code_of
from sota.slm.operation import ATTEMPTS, OperationRunner, PackageOperation, code_without_answer
from sota.slm.preconditions import Preconditions
from sota.slm.versions import why_not_over

TEXTS_LIMIT = 250_000
"""Characters of all steps' output together: a report is one message, however often its steps were interrupted."""
INTERRUPTED_TEXT = "interrupted: the power went or the installer was ended; how far it came was read from its database"


class Installation:
    """Installs and removes packages, with what the vehicle keeps for going back in ``kept``."""

    def __init__(
        self,
        journal: Journal,
        installers: Mapping[str, Installer],
        operations: OperationRunner,
        images: ImageInstallation,
        conditions: Preconditions,
        *,
        vin: str,
        allow_downgrade: bool,
    ) -> None:
        self._journal = journal
        self._installers = installers
        self._operations = operations
        self._backups = images.kept
        self._images = images
        self.conditions = conditions
        self._vin = vin
        self._allow_downgrade = allow_downgrade
        self._log = get_logger(program="slm")

    def prepare(self) -> None:
        """Make the folder of kept packages, and each installer's own."""
        self._backups.prepare()
        self._images.prepare()
        for installer in self._installers.values():
            try:
                installer.prepare()
            except InstallerFailed as error:  # an update that needs it reports that
                self._log.error("installer_not_prepared", installer=installer.name, detail=error.detail)

    async def rest(self) -> None:
        """Begin no step any more; returns when none is under way."""
        await self._operations.rest()

    async def carry_out(self, entry: DownloadEntry, file: Path) -> None:
        """Install or remove what ``entry`` says, and keep its report. Returns when its end is in the journal."""
        start = entry.start
        if start is None:
            raise ValueError(f"download {entry.download_index} has no start")
        if start.installer != IMAGE and start.installer not in self._installers:
            text = f"This vehicle has no installer {start.installer!r}."
            await self.fail(entry, ResultCode.VALIDATION_FAILED, Reason.INSTALL_FAILED, text)
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if start.installer == IMAGE:
                    await self._carry_out_image(entry, start, file)
                else:
                    await self._carry_out(entry, start, self._installers[start.installer], file)
                return
            except InstallerFailed as error:
                self._log.error("installer_failed", download_index=entry.download_index, detail=error.detail)
                if attempt == ATTEMPTS:
                    code = code_without_answer(error.detail)
                    await self.fail(entry, code, Reason.INSTALL_FAILED, error.detail)
                    return
                await asyncio.sleep(self._operations.pause_s * attempt)
                entry = await self._journal.download(entry.download_index) or entry

    async def is_installed(self, entry: DownloadEntry) -> bool:
        """Report whether what a download brings is in the vehicle now, by the installer's own database."""
        start = entry.start
        if start is None:
            return False
        if start.installer == IMAGE:
            return await self._images.installed_version(start.package.name) == start.package.version
        installer = self._installers.get(start.installer)
        if installer is None:
            return False
        try:
            found = await installer.find(start.package.name)
        except InstallerFailed:  # nobody can tell: it is done again, and found out then
            return False
        return found.runs(start.package.version if start.command is Command.INSTALL else None)

    async def confirm(self, entry: DownloadEntry) -> None:
        """End a download that is installed already, without its file."""
        done = "is not installed" if entry.start and entry.start.command is Command.REMOVE else "is installed"
        text = f"{entry.package.name} {entry.package.version} {done}"
        await self._end(entry, Finished(True, ResultCode.ALREADY_PROCESSED, None, text))

    async def fail(self, entry: DownloadEntry, code: ResultCode, reason: Reason, text: str) -> None:
        """Give a download up, with what was done so far in its report."""
        await self._end(entry, Finished(False, code, reason, text))

    async def cancel(self, entry: DownloadEntry) -> None:
        """End a download that the backend or the driver does not want any more."""
        finished = Finished(False, ResultCode.GENERAL_ERROR, Reason.ABORTED, "cancelled before it was installed")
        await self._end(entry, finished, status=ReportStatus.CANCELLED)

    async def decline(self, entry: DownloadEntry) -> None:
        """End a download that the driver does not want."""
        text = "The driver declined the update."
        await self._end(entry, Finished(False, ResultCode.USER_DECLINED, Reason.DECLINED, text), last="consent")

    async def _carry_out(self, entry: DownloadEntry, start: StartDownload, installer: Installer, file: Path) -> None:
        if entry.state is State.READY:
            await asyncio.to_thread(installer.prepare)  # its disk may not have been there at our start
            refusal = await self._examine(start, installer, file)
            if refusal is not None:
                await self._end(entry, refusal)
                return
            found = await installer.find(start.package.name)
            if not await self._journal.begin(entry, found.running_version):
                return
            entry = await self._journal.download(entry.download_index) or entry
        replaces = start.command is Command.REMOVE or entry.previous_version != start.package.version
        previous = entry.previous_version if replaces else None
        previous_file = await self._backups.secure(entry.download_index, "", installer, entry.package, previous)
        job = Job(
            start.package.name,
            start.package.version,
            start.command,
            entry.previous_version,
            can_restore=previous_file is not None or stays_in_other_slot(start.command, installer),
            checked=self._operations.checks and start.command is Command.INSTALL,
            before=await self._backups.before(entry.download_index, ""),
        )
        later = await self._later(entry)
        task = PackageOperation(entry.download_index, job, installer, file, previous_file, later=later)
        finished = await self._operations.work(task)
        if finished.succeeded and start.command is Command.INSTALL and Capability.RESTORE in installer.capabilities:
            self._backups.keep(start.package, installer.name, file)
        await self._backups.clear(installer)
        await self._end(entry, finished)

    async def _later(self, entry: DownloadEntry) -> frozenset[str]:
        """Return the packages that the same update replaces after this one."""
        entries = await self._journal.downloads(entry.update_id)
        indexes = [each.download_index for each in entries]
        return frozenset(each.package.name for each in entries[indexes.index(entry.download_index) + 1 :])

    async def _carry_out_image(self, entry: DownloadEntry, start: StartDownload, file: Path) -> None:
        previous = await self._images.installed_version(start.package.name)
        finished: Finished | None
        if start.command is Command.REMOVE:
            text = "An update image cannot be removed; its packages can."
            finished = Finished(False, ResultCode.REMOVAL_FAILED, Reason.INSTALL_FAILED, text)
        elif not entry.state.is_begun and (refusal := await self._old_version(None, previous, start)):
            finished = refusal
        else:
            finished = await self._images.carry_out(entry, start, file)
        if finished is not None:
            await self._end(entry, finished)

    async def _examine(self, start: StartDownload, installer: Installer, file: Path) -> Finished | None:
        """Look at what is asked for before anything is touched; gives the refusal where there is one."""
        if start.command is Command.REMOVE:
            if Capability.REMOVE in installer.capabilities:
                return None
            return Finished(
                False, ResultCode.REMOVAL_FAILED, Reason.INSTALL_FAILED, f"Installer {installer.name!r} cannot remove."
            )
        try:
            await installer.inspect(file, start.package.name, start.package.version)
        except BadPackage as error:
            reason = Reason.INSTALL_FAILED if isinstance(error, Unsafe) else Reason.VERIFICATION_FAILED
            return Finished(False, ResultCode.VALIDATION_FAILED, reason, error.detail)
        found = await installer.find(start.package.name)
        return await self._old_version(installer, found.running_version, start)

    async def _old_version(
        self, installer: Installer | None, running: str | None, start: StartDownload
    ) -> Finished | None:
        """Return the refusal of a version that is older than what runs, or may be, where that is not allowed."""
        if self._allow_downgrade or start.allow_downgrade:
            return None
        why = await why_not_over(installer, running, start.package.version)
        return Finished(False, ResultCode.OLD_VERSION, Reason.INSTALL_FAILED, why) if why else None

    async def _end(
        self, entry: DownloadEntry, finished: Finished, status: ReportStatus | None = None, last: str = "verify"
    ) -> None:
        """Write the end down, with a report of the preconditions, each step, and last what was found at the end."""
        history, _ = await self._journal.steps(entry.download_index)
        running_version = await self._running_version(entry, ended=finished.succeeded)
        status = status or (ReportStatus.INSTALLED if finished.succeeded else ReportStatus.FAILED)
        complete = outcomes.COMPLETE.say(package=entry.package.text) or ""
        report = InstallReport(
            vin=self._vin,
            download_index=entry.download_index,
            identity=entry.identity,
            status=status,
            operations=[
                *await self._told_conditions(entry),
                *await self._images.told(entry.download_index),
                *told_steps(entry, history),
                Operation(id=last, result_code=finished.code, result_text=finished.text),
            ],
            running_version=running_version,
            reason=finished.reason,
            outcome=OutcomeReport(status=200, message=complete) if finished.succeeded else None,
        )
        is_image = entry.start is not None and entry.start.installer == IMAGE
        image = entry.package if is_image and finished.succeeded else None
        await self._journal.finish(State(status), report, image=image)
        self._backups.forget(entry.download_index)
        self._log.info(
            "download_ended", download_index=entry.download_index, package=entry.package.text, status=str(status)
        )

    async def _told_conditions(self, entry: DownloadEntry) -> list[Operation]:
        checked = await self.conditions.found(entry.update_id)
        if checked is None:
            return []
        code = ResultCode.OK if checked.holds else ResultCode.GENERAL_ERROR
        return [Operation(id="preconditions", result_code=code, result_text=checked.text)]

    async def _running_version(self, entry: DownloadEntry, *, ended: bool) -> str | UnsetType | None:
        if entry.start is not None and entry.start.installer == IMAGE:
            return entry.package.version if ended else await self._images.installed_version(entry.package.name)
        installer = self._installers.get(entry.start.installer) if entry.start else None
        # Before its start arrived nobody knows which installer has it; a vehicle with one installer has no doubt.
        if installer is None and len(self._installers) == 1:
            installer = next(iter(self._installers.values()))
        try:
            return (await installer.find(entry.package.name)).running_version if installer else UNSET
        except InstallerFailed:
            return UNSET


def told_steps(entry: DownloadEntry, history: Sequence[StepRecord]) -> list[Operation]:
    """Tell the steps and their output."""
    command = entry.start.command if entry.start else Command.INSTALL
    job = Job(entry.package.name, entry.package.version, command, entry.previous_version, can_restore=False)
    limit = TEXTS_LIMIT // max(1, len(history))
    return [
        Operation(
            id=str(record.step),
            result_code=code_of(job, record),
            result_text=(f"{record.output}\n{INTERRUPTED_TEXT}".strip() if record.exit_code is None else record.output)[
                -limit:
            ],
        )
        for record in history
    ]


def stays_in_other_slot(command: Command, installer: Installer) -> bool:
    """Say whether what was there before an installation can be gone back to without a file."""
    return command is Command.INSTALL and Capability.TWO_SLOTS in installer.capabilities
