"""The rules of an installation: which step is next, and what the result is. Nothing here does I/O.

An installation is a series of steps. The journal records each before it begins and after it has ended. So the next step
follows from three things: the steps so far, the installer's own database, and what was installed before.

Rules kept here:

* a step that ended is never repeated. After an interrupted one, whose result is unknown, the database is read first;
  only what it shows as not done is repeated, at most ``MAX_INTERRUPTIONS`` times;
* a half-configured package is repaired, a half-unpacked one is installed again, once;
* install, boot, check and confirm are separate steps in this order; a version on trial is confirmed only after the
  vehicle's own health check;
* an installation that breaks another package is rolled back;
* the database decides on success after the last step, never an exit code alone; a database that cannot be read after
  a step is a failure;
* after a failure the previous version is restored, or the package is removed if there was none.

>>> job = Job("ivi", "2.0.0", Command.INSTALL, previous_version=None, can_restore=False)
>>> decide(job, [], Found(Health.ABSENT))
Run(step=<Step.INSTALL: 'install'>)
>>> decide(job, [StepRecord(Step.INSTALL, 0, "")], Found(Health.INSTALLED, "2.0.0"))
Finished(succeeded=True, code=<ResultCode.OK: 0>, reason=None, text='ivi 2.0.0 is installed')
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

from sota.boundaries.values import Command, Reason

MAX_INTERRUPTIONS = 5
NOT_BEGUN = 75
"""Exit code (EX_TEMPFAIL) of a step that touched nothing, because another process holds a lock that it needs."""
LOCKED_TEXT, NO_SPACE_TEXT = "locked by another process", "No space left on device"
DEPENDENCY_TEXTS = (
    "dependency problem",  # Depends and, as pre-dependency problem, Pre-Depends
    "conflicting packages - not installing",
    "deconfiguration is not permitted",  # Breaks
)
"""What dpkg prints if another package is missing or in conflict."""


class ResultCode(IntEnum):
    """Result codes of operations in a report; the numbers are those of the original Software Loading Manager."""

    OK = 0
    ALREADY_PROCESSED = 1
    DEPENDENCY_FAILURE = 2
    VALIDATION_FAILED = 3
    INSTALL_FAILED = 4
    UPGRADE_FAILED = 5
    REMOVAL_FAILED = 6
    FLASH_FAILED = 7
    CREATE_PARTITION_FAILED = 8
    DELETE_PARTITION_FAILED = 9
    RESIZE_PARTITION_FAILED = 10
    WRITE_PARTITION_FAILED = 11
    PATCH_PARTITION_FAILED = 12
    USER_DECLINED = 13
    BLACKLISTED = 14
    DISK_FULL = 15
    NOT_FOUND = 16
    OLD_VERSION = 17
    INTERNAL_ERROR = 18
    GENERAL_ERROR = 19


class Health(StrEnum):
    """The state of a package in the installer's database."""

    ABSENT = "absent"
    INSTALLED = "installed"
    UNCONFIGURED = "unconfigured"
    """Its files are complete, its configuration is not: repairing is enough."""
    BROKEN = "broken"
    """Some of its files may be missing: it must be installed again or removed."""
    UNCONFIRMED = "unconfirmed"
    """It runs on trial: without a confirmation the next boot may replace it."""
    UNKNOWN = "unknown"
    """The database could not be read after a step. Installers themselves never return this."""


@dataclass(frozen=True, slots=True)
class OtherPackages:
    """Other packages since the first step, a sentence each: those that no longer work, and those that changed."""

    broken: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The state of one package in the installer's database.

    ``version`` is the installed version; ``next_version`` the one that the next boot starts, None if it is the same.
    """

    health: Health
    version: str | None = None
    next_version: str | None = None
    others: OtherPackages = OtherPackages()

    @property
    def is_as_before(self) -> bool:
        """Whether all other packages are as they were before the first step."""
        return self.others == OtherPackages()

    @property
    def running_version(self) -> str | None:
        """The version that works, if any."""
        return self.version if self.health in {Health.INSTALLED, Health.UNCONFIRMED} else None

    def runs(self, version: str | None) -> bool:
        """Report whether exactly this version is installed and confirmed (None: nothing is installed)."""
        if self.next_version is not None:
            return False
        if version is None:
            return self.health is Health.ABSENT
        return self.health is Health.INSTALLED and self.version == version

    def has_started(self, version: str) -> bool:
        """Report whether exactly this version runs, confirmed or on trial."""
        return self.next_version is None and self.running_version == version


class Step(StrEnum):
    """The steps; all but ``look``, ``compare``, ``boot`` and ``check`` are commands of the installer or the vehicle."""

    INSTALL = "install"
    REPAIR = "repair"
    REINSTALL = "reinstall"
    LOOK = "look"
    """Read the installer's database after a step; recorded only if that fails."""
    COMPARE = "compare"
    """Compare the other packages with the record; recorded only if one broke."""
    BOOT = "boot"
    """Wait for the vehicle's next boot, which starts the new version."""
    CHECK = "check"
    """Run the vehicle's own health check, if it has one."""
    CONFIRM = "confirm"
    """Confirm the version that runs on trial."""
    RESTORE = "restore"
    DISCARD = "discard"
    REMOVE = "remove"
    RUN = "run"
    """Run a command of the vehicle, for an update image."""


BACK = frozenset({Step.RESTORE, Step.DISCARD})
"""A rollback begins with one of these."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of the journal; ``exit_code`` is None if it was interrupted and its result is unknown."""

    step: Step
    exit_code: int | None
    output: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether its result is unknown or it did not begin: in both cases it may be repeated."""
        return self.exit_code in {None, NOT_BEGUN}


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with one package, and what was installed before."""

    name: str
    version: str
    command: Command
    previous_version: str | None
    can_restore: bool
    """Whether the installer can restore the previous version."""
    checked: bool = False
    """Whether the vehicle has a health check."""
    undo: bool = False
    """Whether a finished operation is undone because a later one failed."""
    before: Path | None = None
    """Folder of the installer's record from before the first step, if it makes one."""


@dataclass(frozen=True, slots=True)
class Run:
    """Run this step next."""

    step: Step


@dataclass(frozen=True, slots=True)
class Finished:
    """The result: nothing is left to do."""

    succeeded: bool
    code: ResultCode
    reason: Reason | None
    text: str


Decision = Run | Finished


def decide(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    """Return what follows from the steps so far and the package's state."""
    if job.command is Command.REMOVE and not job.undo:
        return _decide_removal(job, history, found)
    if job.undo or any(record.step in BACK for record in history):
        return _decide_rollback(job, history, found)
    if not history:
        if found.runs(job.version):
            return Finished(True, ResultCode.ALREADY_PROCESSED, None, _success(job))
        return Run(Step.INSTALL)
    return _decide_forward(job, history, found)


def _decide_forward(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    if found.next_version == job.version:
        return _decide_before_boot(job, history, found)
    if found.has_started(job.version):
        return _decide_others(history, found) or _decide_on_trial(job, history, found)
    return _decide_after_step(job, history, found)


def _decide_others(history: Sequence[StepRecord], found: Found) -> Decision | None:
    """Return what follows if another package no longer works; None if all do."""
    if not found.others.broken:
        return None
    if history[-1].interrupted and sum(record.interrupted for record in history) <= MAX_INTERRUPTIONS:
        return Run(Step.REPAIR)
    return None if any(record.step is Step.COMPARE for record in history) else Run(Step.COMPARE)


def _decide_before_boot(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    last = history[-1]
    if last.step is Step.BOOT or last.exit_code not in {0, None}:
        return _decide_rollback(job, history, found)  # the boot did not start it, or it was not completely written
    if last.interrupted:
        return _decide_after_step(job, history, found)
    return Run(Step.BOOT)


def _decide_on_trial(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    """Return what follows while the new version runs: check it, then confirm it."""
    last = history[-1]
    if found.others.broken:
        return _decide_rollback(job, history, found)
    if found.health is Health.UNCONFIRMED and last.exit_code not in {0, None}:
        return _decide_rollback(job, history, found)
    if job.checked:
        checks = [record for record in history if record.step is Step.CHECK]
        if _is_due(checks):
            return Run(Step.CHECK)
        if checks[-1].exit_code != 0:
            return _decide_rollback(job, history, found)
    if found.health is Health.UNCONFIRMED:
        due = _is_due([record for record in history if record.step is Step.CONFIRM])
        return Run(Step.CONFIRM) if due else _decide_rollback(job, history, found)
    return Finished(True, ResultCode.OK, None, _success(job))


def _is_due(tried: Sequence[StepRecord]) -> bool:
    return not tried or (tried[-1].interrupted and len(tried) <= MAX_INTERRUPTIONS)


def _success(job: Job) -> str:
    return f"{job.name} {job.version} is installed"


def _decide_after_step(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    last = history[-1]
    unconfigured = found.health is Health.UNCONFIGURED and found.version == job.version
    if last.interrupted and sum(record.interrupted for record in history) <= MAX_INTERRUPTIONS:
        return Run(Step.REPAIR if unconfigured else Step.REINSTALL)
    # A successful command that left configuration undone (awaited triggers) gets one repair.
    if last.exit_code == 0 and unconfigured and not any(record.step is Step.REPAIR for record in history):
        return Run(Step.REPAIR)
    return _decide_rollback(job, history, found)


def _decide_rollback(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    code, reason = failure(job, history)
    what = f"{job.name} {job.version} " + ("was undone" if job.undo else f"failed{_why(history)}")
    if job.previous_version is not None and found.runs(job.previous_version) and found.is_as_before:
        return Finished(False, code, Reason.ROLLED_BACK, f"{what}; {job.previous_version} is there as before")
    if job.previous_version is None and found.runs(None) and found.is_as_before:
        reason = Reason.ROLLED_BACK if job.undo else reason
        return Finished(False, code, reason, f"{what}; nothing of it is left")
    back = Step.RESTORE if job.previous_version is not None else Step.DISCARD
    tried = [record for record in history if record.step is back]
    can = back is Step.DISCARD or job.can_restore
    if can and _is_due(tried):
        return Run(back)
    if tried and job.previous_version is not None:
        waits = found.next_version == job.previous_version
        if waits and history[-1].step is not Step.BOOT and tried[-1].exit_code == 0:
            return Run(Step.BOOT)
        confirmations = [record for record in history[history.index(tried[0]) :] if record.step is Step.CONFIRM]
        unconfirmed = found.health is Health.UNCONFIRMED and found.has_started(job.previous_version)
        if unconfirmed and _is_due(confirmations):
            return Run(Step.CONFIRM)
    return Finished(False, code, reason, _what_is_left(job, found, can))


def _why(history: Sequence[StepRecord]) -> str:
    reasons = {
        Step.LOOK: ": the installed version could not be read",
        Step.COMPARE: ": another package does not work with it",
        Step.CHECK: " its health check",
        Step.BOOT: " to start at the boot",
    }
    return next((reasons.get(record.step, "") for record in reversed(_forward(history))), "")


def _forward(history: Sequence[StepRecord]) -> list[StepRecord]:
    return list(itertools.takewhile(lambda record: record.step not in BACK, history))


def _what_is_left(job: Job, found: Found, tried: bool) -> str:
    state = f"it is {found.health} now" + (f", version {found.version}" if found.version else "")
    state = "; ".join([state, *found.others.broken, *found.others.changed])
    if job.previous_version is None:
        return f"{job.name} {job.version} failed and could not be removed: {state}"
    if found.runs(job.previous_version):
        return (
            f"{job.name} {job.version} failed; {job.previous_version} is there, and others are not as before: {state}"
        )
    why = "could not be restored" if tried else "could not be restored, since its file is not kept here"
    return f"{job.name} {job.version} failed; {job.previous_version}, which was there before, {why}: {state}"


def _decide_removal(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    if found.health is Health.ABSENT and (others := _decide_others(history, found) if history else None):
        return others
    if found.health is Health.ABSENT and not (history and found.others.broken):
        code = ResultCode.OK if history else ResultCode.ALREADY_PROCESSED
        return Finished(True, code, None, f"{job.name} is not installed")
    if not history and found.running_version not in {None, job.version}:
        text = f"{job.name} {job.version} is not installed, {found.version} is"
        return Finished(False, ResultCode.NOT_FOUND, Reason.INSTALL_FAILED, text)
    if not history:
        return Run(Step.REMOVE)
    return _decide_after_removal(job, history, found)


def _decide_after_removal(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    last = history[-1]
    if last.step is Step.REMOVE and last.interrupted and len(history) <= MAX_INTERRUPTIONS:
        return Run(Step.REMOVE)
    code, reason = failure(job, history)
    if found.runs(job.previous_version):
        return Finished(False, code, reason, f"{job.name} {job.version} was not removed and is there as before")
    restores = [record for record in history if record.step is Step.RESTORE]
    if job.can_restore and not restores:
        return Run(Step.RESTORE)
    return Finished(False, code, reason, _what_is_left(job, found, bool(restores)))


def failure(job: Job, history: Sequence[StepRecord]) -> tuple[ResultCode, Reason]:
    """Return result code and reason of a failure, from the last step before the rollback and its output."""
    forward = _forward(history)
    output = forward[-1].output if forward else ""
    if LOCKED_TEXT in output:
        return ResultCode.INTERNAL_ERROR, Reason.INSTALL_FAILED
    if (forward and forward[-1].step is Step.COMPARE) or any(text in output for text in DEPENDENCY_TEXTS):
        return ResultCode.DEPENDENCY_FAILURE, Reason.DEPENDENCY
    if NO_SPACE_TEXT in output:
        return ResultCode.DISK_FULL, Reason.INSTALL_FAILED
    if forward and (forward[-1].exit_code == 0 or forward[-1].step in {Step.CHECK, Step.LOOK}):
        return _plain_code(job), Reason.VERIFICATION_FAILED
    return _plain_code(job), Reason.INSTALL_FAILED


def _plain_code(job: Job) -> ResultCode:
    if job.command is Command.REMOVE:
        return ResultCode.REMOVAL_FAILED
    return ResultCode.INSTALL_FAILED if job.previous_version is None else ResultCode.UPGRADE_FAILED


def code_of(job: Job, record: StepRecord) -> ResultCode:
    """Return the result code of one step, for the report's list of operations."""
    if record.exit_code == 0:
        return ResultCode.OK
    if record.step is Step.LOOK:
        return ResultCode.INTERNAL_ERROR
    if record.interrupted:
        return ResultCode.GENERAL_ERROR
    if record.step in BACK or record.step is Step.BOOT:
        return ResultCode.GENERAL_ERROR
    return failure(job, [record])[0]
