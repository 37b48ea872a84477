"""Does one job, step by step: asks the rules what is next, writes it down, does it, looks at what came of it.

Killed anywhere and called again, it goes on where the journal and the installer's own database say that it stands.
A database that cannot be read before the first step stops everything; after a step it is a step that failed, and the
way back is taken: it may be what was installed that keeps it from answering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sota.boundaries.values import Command as InstallCommand
from sota.kit.runtime.logging import get_logger
from sota.slm.boot import ENVIRONMENT, Boot
from sota.slm.installers import Command, Installer, InstallerFailed, Shared
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
from sota.slm.step_runner import StepResult, StepRunner

ATTEMPTS = 5
FOUND = {Step.LOOK: "the installer could not be asked", Step.COMPARE: "another package does not work any more"}
PAUSE_S = 1.0
"""Before a database that cannot be read is asked again; each is longer by as much."""


@dataclass(frozen=True, slots=True)
class PackageOperation:
    """A job with everything that its steps need. ``operation`` is one of an update image, empty for a package."""

    download_index: int
    job: Job
    installer: Installer
    file: Path
    previous_file: Path | None = None
    operation: str = ""
    later: frozenset[str] = frozenset()
    """Packages that the same update goes on to replace: their dependencies need not hold in between."""


class OperationRunner:
    """Does jobs. ``health_check`` is the vehicle's own command, which ends with 0 when all is well."""

    def __init__(
        self,
        journal: Journal,
        runner: StepRunner,
        boot: Boot,
        health_check: Sequence[str],
        lock_timeout_s: float,
        *,
        pause_s: float | None = None,
    ) -> None:
        self._journal = journal
        self._runner = runner
        self._boot = boot
        self._health_check = health_check
        self._lock_timeout_s = lock_timeout_s
        self.pause_s = PAUSE_S if pause_s is None else pause_s
        self._log = get_logger(program="slm")
        self._idle = asyncio.Event()
        self._idle.set()
        self._resting = False

    @property
    def checks(self) -> bool:
        """Whether the vehicle has a health check."""
        return bool(self._health_check)

    async def clear(self) -> None:
        """Remove what ended steps have left."""
        opened = {_key(index, number) for index, number in await self._journal.opened_steps()}
        await asyncio.to_thread(self._runner.clear, opened)

    async def tend(self) -> None:
        """Look after what ended steps have left behind, until cancelled."""
        await self._runner.tend()

    async def rest(self) -> None:
        """Begin no step any more; returns when none is under way."""
        self._resting = True
        await self._idle.wait()

    async def work(self, task: PackageOperation) -> Finished:
        """Do a job, from its beginning or from wherever it stands; gives its result.

        Raises:
            InstallerFailed: the installer's database cannot be read, and nothing was done yet.
        """
        while True:
            history, opened = await self._journal.steps(task.download_index, task.operation)
            if opened is not None:
                await self._await(task, opened)
                continue
            found = await self._look(task, history) if history else await self._find(task, history)
            if found is None:
                continue
            decision = decide(task.job, history, found)
            if isinstance(decision, Finished):
                return decision
            if decision.step is Step.COMPARE:
                text = "\n".join(found.beside.broken)
                await self._write_down(task, Step.COMPARE, text)
                continue
            await task.installer.wait_until_free(self._lock_timeout_s)
            await self.pause_if_resting()
            if not history and not task.job.undo:
                await self._record(task)
            await self._begin(task, decision.step)

    async def run_check(self, download_index: int, operation: str, name: str, version: str) -> StepResult:
        """Run the health check once for what is more than one package."""
        command = self._check_command("image", name, version)
        return await self.run_command(download_index, operation, Step.CHECK, command)

    async def run_command(self, download_index: int, operation: str, step: Step, command: Command) -> StepResult:
        """Run one command as all there is to an operation: once to its end, and again where it was interrupted."""
        while True:
            history, opened = await self._journal.steps(download_index, operation)
            if opened is not None:
                await self._finish(download_index, opened)
                continue
            if history and (history[-1].exit_code is not None or len(history) > MAX_INTERRUPTIONS):
                return StepResult(history[-1].exit_code, history[-1].output)
            await self.pause_if_resting()
            await self._start(download_index, operation, step, command)

    async def run_boot(self, download_index: int, operation: str) -> StepResult:
        """Wait for a boot as the only step of an operation."""
        history, opened = await self._journal.steps(download_index, operation)
        if opened is None and not history:
            opened = await self._journal.begin_step(
                download_index, Step.BOOT, operation=operation, note=self._boot.note()
            )
        if opened is not None:
            ended = await self._boot.wait(opened.note)
            await self._journal.end_step(download_index, opened.number, ended.exit_code, ended.output)
            return ended
        return StepResult(history[-1].exit_code, history[-1].output)

    async def pause_if_resting(self) -> None:
        """Wait until we are cancelled, where nothing may be begun any more: the next start does it."""
        if self._resting:
            await asyncio.Event().wait()

    async def _look(self, task: PackageOperation, history: Sequence[StepRecord]) -> Found | None:
        """Read the installer's database after a step; None where that it cannot be read was written down just now."""
        detail, last = "", history[-1]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._find(task, history)
            except InstallerFailed as error:
                detail = error.detail
                self._log.error("installer_cannot_tell", download_index=task.download_index, detail=detail)
            if last.step is Step.LOOK or attempt == ATTEMPTS:
                break
            await asyncio.sleep(self.pause_s * attempt)
        if last.step is Step.LOOK or last.interrupted:
            return Found(Health.UNKNOWN)
        await self._write_down(task, Step.LOOK, detail)
        return None

    async def _find(self, task: PackageOperation, history: Sequence[StepRecord]) -> Found:
        """Read how the package stands, and after a step what became of the others."""
        found = await task.installer.find(task.job.name)
        if task.job.before is None or not (history or task.job.undo) or not isinstance(task.installer, Shared):
            return found
        return replace(found, beside=await task.installer.compare(task.job.name, task.job.before, task.later))

    async def _record(self, task: PackageOperation) -> None:
        """Have the installer write down what is there before the first step, where its packages change one another."""
        if task.job.before is not None and isinstance(task.installer, Shared):
            file = None if task.job.command is InstallCommand.REMOVE else task.file
            await task.installer.record(task.job.name, file, task.job.before)

    async def _write_down(self, task: PackageOperation, step: Step, text: str) -> None:
        """Write down what was found as a step that failed."""
        opened = await self._journal.begin_step(task.download_index, step, operation=task.operation)
        await self._journal.end_step(task.download_index, opened.number, 1, text)

    async def _begin(self, task: PackageOperation, step: Step) -> None:
        if step is Step.BOOT:
            await self._journal.begin_step(task.download_index, step, operation=task.operation, note=self._boot.note())
        elif step is Step.CHECK:
            command = self._check_command(task.installer.name, task.job.name, task.job.version)
            await self._start(task.download_index, task.operation, step, command)
        else:
            command = task.installer.command(step, task.job, task.file, task.previous_file)
            await self._start(task.download_index, task.operation, step, command)
        self._log.info("step_begun", download_index=task.download_index, step=str(step), package=task.job.name)

    async def _start(self, download_index: int, operation: str, step: Step, command: Command) -> OpenStep:
        await self._runner.wait_for_lost()
        opened = await self._journal.begin_step(download_index, step, operation=operation)
        try:
            self._runner.start(_key(download_index, opened.number), command.arguments, command.environment)
        except OSError as error:
            raise InstallerFailed(f"The step {step} cannot be started: {error}.") from error
        return opened

    async def _await(self, task: PackageOperation, opened: OpenStep) -> None:
        if opened.step is Step.BOOT:
            ended = await self._boot.wait(opened.note)
            await self._journal.end_step(task.download_index, opened.number, ended.exit_code, ended.output)
        elif opened.step in FOUND:  # begun only where that was found already
            await self._journal.end_step(task.download_index, opened.number, 1, FOUND[opened.step])
        else:
            await self._finish(task.download_index, opened, task.installer)

    async def _finish(self, download_index: int, opened: OpenStep, installer: Installer | None = None) -> StepResult:
        key = _key(download_index, opened.number)
        self._idle.clear()
        try:
            ended = await self._runner.wait(key)
            if installer is not None:
                await installer.wait_until_free(self._lock_timeout_s)
            await self._journal.end_step(download_index, opened.number, ended.exit_code, ended.output)
            self._runner.forget(key)
        finally:
            self._idle.set()
        return ended

    def _check_command(self, installer: str, name: str, version: str) -> Command:
        told = {"SOTA_INSTALLER": installer, "SOTA_PACKAGE": name, "SOTA_VERSION": version}
        return Command(tuple(self._health_check), {**ENVIRONMENT, **told})


def _key(download_index: int, number: int) -> str:
    """Return the name of a step for the runner."""
    return f"{download_index}-{number}"


def code_without_answer(detail: str) -> ResultCode:
    """Return the result code where an installer cannot be asked, or cannot begin, from what it says."""
    return ResultCode.DISK_FULL if NO_SPACE_TEXT in detail else ResultCode.INTERNAL_ERROR
