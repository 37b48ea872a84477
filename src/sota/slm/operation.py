"""Runs the operations of a download: installs, removes or undoes one package, or runs one command.

An operation is a series of steps. The rules (``model.py``) say which step is next, the journal records its beginning
and its end, a process carries it out (``step_runner.py``), and the installer's own database says what came of it.

Killed at any moment and started again, an operation continues from the journal and the installer's database. If the
database cannot be read before the first step, the operation fails. After a step it counts as a failed step and the
package is rolled back: the new version itself may be what keeps the database from answering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sota.boundaries.values import Command as InstallCommand
from sota.boundaries.values import PackageId, Reason
from sota.kit.runtime.logging import get_logger
from sota.slm.backups import Backups
from sota.slm.boot import ENVIRONMENT, Boot
from sota.slm.installers import BadPackage, Capability, Command, Installer, InstallerFailed, Shared, Unsafe
from sota.slm.journal import Journal, OpenStep
from sota.slm.model import (
    MAX_INTERRUPTIONS,
    NO_SPACE_TEXT,
    Finished,
    Found,
    Health,
    Job,
    ResultCode,
    Step,
    StepRecord,
    decide,
)
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import StepResult, StepRunner
from sota.slm.versions import why_not_over

ATTEMPTS = 5
FOUND = {Step.LOOK: "the installer could not be asked", Step.COMPARE: "another package does not work any more"}
PAUSE_S = 1.0
"""Pause before a database that cannot be read is read again; each pause is longer by as much."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PackageOperation:
    """One package to install or remove. ``id`` names an operation of an update image; it is empty for a package."""

    download_index: int
    command: InstallCommand
    package: PackageId
    installer: Installer
    file: Path
    id: str = ""
    later: frozenset[str] = frozenset()
    """Packages that the same update replaces afterwards: their dependencies need not hold in between."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A job with everything that its steps need; ``key`` is what the journal records its steps under."""

    operation: PackageOperation
    job: Job
    key: str
    previous_file: Path | None


class OperationRunner:
    """Runs operations, one at a time. ``backups`` are those of the packages, below ``settings.data``."""

    def __init__(
        self, settings: SlmSettings, journal: Journal, runner: StepRunner, boot: Boot, pause_s: float | None
    ) -> None:
        self._settings, self._journal, self._runner, self._boot = settings, journal, runner, boot
        self.backups = Backups(settings.data.resolve() / "kept", journal)
        self._pause_s = PAUSE_S if pause_s is None else pause_s
        self._log = get_logger(program="slm")
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    @property
    def checks(self) -> bool:
        """Whether the vehicle has a health check."""
        return bool(self._settings.health_check)

    async def clear(self) -> None:
        """Remove the files of steps that have ended."""
        opened = {_key(index, number) for index, number in await self._journal.opened_steps()}
        await asyncio.to_thread(self._runner.clear, opened)

    async def stop(self) -> None:
        """Start no further step, and wait for the one that is running."""
        self._stopping = True
        await self._idle.wait()

    async def retry(
        self,
        download_index: int,
        work: Callable[[], Awaitable[T]],
        attempts: int = ATTEMPTS,
        event: str = "installer_failed",
    ) -> T:
        """Return the result of ``work``, which is repeated while its installer fails; each failure logs ``event``.

        Raises:
            InstallerFailed: it failed ``attempts`` times.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await work()
            except InstallerFailed as error:
                self._log.error(event, download_index=download_index, detail=error.detail)
                if attempt == attempts:
                    raise
            await asyncio.sleep(self._pause_s * attempt)

    async def inspect(self, operation: PackageOperation) -> Finished | None:
        """Check what is requested before anything is changed; return the refusal, if there is one."""
        installer, package = operation.installer, operation.package
        await asyncio.to_thread(installer.prepare)  # its disk may have been missing when the program started
        if operation.command is InstallCommand.REMOVE:
            if Capability.REMOVE in installer.capabilities:
                return None
            text = f"Installer {installer.name!r} cannot remove."
            return Finished(False, ResultCode.REMOVAL_FAILED, Reason.INSTALL_FAILED, text)
        try:
            await installer.inspect(operation.file, package.name, package.version)
        except BadPackage as error:
            reason = Reason.INSTALL_FAILED if isinstance(error, Unsafe) else Reason.VERIFICATION_FAILED
            return Finished(False, ResultCode.VALIDATION_FAILED, reason, error.detail)
        return None

    async def run(self, operation: PackageOperation, previous: str | None, key: str, *, undo: bool = False) -> Finished:
        """Run an operation from its beginning or from where it stopped, and return its result.

        ``previous`` is the version that was installed before. ``key`` is the name of its steps in the journal, which
        differs where an operation is undone.

        Raises:
            InstallerFailed: the installer's database cannot be read, and nothing has been done yet.
        """
        package, installer = operation.package, operation.installer
        installs = operation.command is InstallCommand.INSTALL
        restorable = previous if not installs or previous != package.version else None
        previous_file = await self.backups.secure(
            operation.download_index, operation.id, installer, package, restorable
        )
        job = Job(
            package.name,
            package.version,
            operation.command,
            previous,
            can_restore=previous_file is not None or (installs and Capability.TWO_SLOTS in installer.capabilities),
            checked=self.checks and installs and not operation.id,  # an image is checked once, as a whole
            undo=undo,
            before=await self.backups.record_folder(operation.download_index, operation.id),
        )
        return await self._run_steps(_Task(operation, job, key, previous_file))

    async def run_command(self, download_index: int, key: str, step: Step, command: Command) -> StepResult:
        """Run one command as a whole operation: once to its end, and again if it was interrupted."""
        while True:
            history, opened = await self._journal.steps(download_index, key)
            if opened is not None:
                await self._finish(download_index, opened)
                continue
            if history and (history[-1].exit_code is not None or len(history) > MAX_INTERRUPTIONS):
                return StepResult(history[-1].exit_code, history[-1].output)
            await self._wait_if_stopping()
            await self._start(download_index, key, step, command)

    async def run_boot(self, download_index: int, key: str) -> StepResult:
        """Wait for a boot as the only step of an operation."""
        history, opened = await self._journal.steps(download_index, key)
        if opened is None and history:
            return StepResult(history[-1].exit_code, history[-1].output)
        return await self._wait_for_boot(download_index, opened or await self._begin_boot(download_index, key))

    async def _run_steps(self, task: _Task) -> Finished:
        index, installer = task.operation.download_index, task.operation.installer
        while True:
            history, opened = await self._journal.steps(index, task.key)
            if opened is not None:
                await self._end_step(task, opened)
                continue
            found = await self._look(task, history) if history else await self._find(task, history)
            if found is None:
                continue
            decision = decide(task.job, history, found)
            if isinstance(decision, Finished):
                return decision
            if decision.step is Step.COMPARE:
                await self._record_failure(task, Step.COMPARE, "\n".join(found.others.broken))
                continue
            await installer.wait_until_free(self._settings.lock_timeout_s)
            await self._wait_if_stopping()
            if not history and not task.job.undo:
                await self._record_packages(task)
            await self._begin_step(task, decision.step)

    async def _wait_if_stopping(self) -> None:
        """Wait until cancelled if no further step may start: the program's next start continues."""
        if self._stopping:
            await asyncio.Event().wait()

    async def _look(self, task: _Task, history: Sequence[StepRecord]) -> Found | None:
        """Read the installer's database after a step; None where a failure to read it has just been recorded."""
        last = history[-1]
        index, attempts = task.operation.download_index, 1 if last.step is Step.LOOK else ATTEMPTS
        try:
            return await self.retry(index, lambda: self._find(task, history), attempts, "installed_version_not_read")
        except InstallerFailed as error:
            if last.step is Step.LOOK or last.interrupted:
                return Found(Health.UNKNOWN)
            await self._record_failure(task, Step.LOOK, error.detail)
            return None

    async def _find(self, task: _Task, history: Sequence[StepRecord]) -> Found:
        """Read the package's state and, after a step, what happened to the other packages."""
        installer, job = task.operation.installer, task.job
        found = await installer.find(job.name)
        if job.before is None or not (history or job.undo) or not isinstance(installer, Shared):
            return found
        return replace(found, others=await installer.compare(job.name, job.before, task.operation.later))

    async def _record_packages(self, task: _Task) -> None:
        """Record all packages before the first step, if one of the installer's packages can change others."""
        operation, before = task.operation, task.job.before
        if before is not None and isinstance(operation.installer, Shared):
            file = None if operation.command is InstallCommand.REMOVE else operation.file
            await operation.installer.record(operation.package.name, file, before)

    async def _record_failure(self, task: _Task, step: Step, text: str) -> None:
        """Record a finding as a failed step."""
        index = task.operation.download_index
        opened = await self._journal.begin_step(index, step, operation=task.key)
        await self._journal.end_step(index, opened.number, 1, text)

    async def _begin_step(self, task: _Task, step: Step) -> None:
        operation = task.operation
        if step is Step.BOOT:
            await self._begin_boot(operation.download_index, task.key)
        else:
            if step is Step.CHECK:
                command = self.check_command(operation.installer.name, operation.package)
            else:
                command = operation.installer.command(step, task.job, operation.file, task.previous_file)
            await self._start(operation.download_index, task.key, step, command)
        name = operation.package.name
        self._log.info("step_begun", download_index=operation.download_index, step=str(step), package=name)

    async def _begin_boot(self, download_index: int, key: str) -> OpenStep:
        return await self._journal.begin_step(download_index, Step.BOOT, operation=key, note=self._boot.note())

    async def _start(self, download_index: int, key: str, step: Step, command: Command) -> None:
        await self._runner.wait_for_lost()
        opened = await self._journal.begin_step(download_index, step, operation=key)
        try:
            self._runner.start(_key(download_index, opened.number), command.arguments, command.environment)
        except OSError as error:
            raise InstallerFailed(f"The step {step} cannot be started: {error}.") from error

    async def _end_step(self, task: _Task, opened: OpenStep) -> None:
        index = task.operation.download_index
        if opened.step is Step.BOOT:
            await self._wait_for_boot(index, opened)
        elif opened.step in FOUND:  # such a step begins only when its failure is known
            await self._journal.end_step(index, opened.number, 1, FOUND[opened.step])
        else:
            await self._finish(index, opened, task.operation.installer)

    async def _wait_for_boot(self, download_index: int, opened: OpenStep) -> StepResult:
        ended = await self._boot.wait(opened.note)
        await self._journal.end_step(download_index, opened.number, ended.exit_code, ended.output)
        return ended

    async def _finish(self, download_index: int, opened: OpenStep, installer: Installer | None = None) -> None:
        key = _key(download_index, opened.number)
        self._idle.clear()
        try:
            ended = await self._runner.wait(key)
            if installer is not None:
                await installer.wait_until_free(self._settings.lock_timeout_s)
            await self._journal.end_step(download_index, opened.number, ended.exit_code, ended.output)
            self._runner.forget(key)
        finally:
            self._idle.set()

    def check_command(self, installer: str, package: PackageId) -> Command:
        """Return the vehicle's health check, for a package or (``image``) an update image as a whole."""
        variables = {"SOTA_INSTALLER": installer, "SOTA_PACKAGE": package.name, "SOTA_VERSION": package.version}
        return Command(self._settings.health_check, {**ENVIRONMENT, **variables})


def _key(download_index: int, number: int) -> str:
    """Return the step runner's name of a step."""
    return f"{download_index}-{number}"


def code_without_answer(detail: str) -> ResultCode:
    """Return the result code of an installer that cannot be asked or started, by what it says."""
    return ResultCode.DISK_FULL if NO_SPACE_TEXT in detail else ResultCode.INTERNAL_ERROR


async def refuse_old_version(installer: Installer | None, running: str | None, version: str) -> Finished | None:
    """Return the refusal of a version that is, or may be, older than the running one."""
    why = await why_not_over(installer, running, version)
    return Finished(False, ResultCode.OLD_VERSION, Reason.INSTALL_FAILED, why) if why else None
