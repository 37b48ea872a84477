"""The rules of an installation: what is done next, and what the result is. Nothing here does I/O.

An installation is a series of steps. Each is written to the journal before it is begun and after it has ended, so the
next one always follows from three things: the steps so far, what the installer's own database says, and what was
there before.

Rules kept here:

* a step that ended is never repeated; one that was interrupted (nobody knows how it ended) is looked into first, and
  only what the database shows as not done is taken up again: at most ``MAX_INTERRUPTIONS`` times;
* half-configured is repaired, half-unpacked is installed again, once;
* installed, booted, checked and confirmed are steps of their own, in this order; what waits for a boot waits, what runs
  unconfirmed is confirmed only after the vehicle's own health check;
* what leaves another package broken is taken back;
* success is what the database says after the last step, never an exit code alone; a database that cannot be read after
  a step says no such thing;
* what fails is put back: the version that was there before, or nothing where there was nothing.

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
"""Exit code (EX_TEMPFAIL) of a step that touched nothing, because another process holds what it needs."""
LOCKED_TEXT, NO_SPACE_TEXT = "locked by another process", "No space left on device"
DEPENDENCY_TEXTS = (
    "dependency problem",  # Depends and, as pre-dependency problem, Pre-Depends
    "conflicting packages - not installing",
    "deconfiguration is not permitted",  # Breaks
)
"""How dpkg says that another package is, or is not, in the vehicle."""


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
    """How a package stands in the installer's database."""

    ABSENT = "absent"
    INSTALLED = "installed"
    UNCONFIGURED = "unconfigured"
    """Its files are in place, its configuration is not done: repairing is enough."""
    BROKEN = "broken"
    """Some of its files may be missing: it must be installed again or removed."""
    UNCONFIRMED = "unconfirmed"
    """It runs on trial: without a confirmation it does not stay."""
    UNKNOWN = "unknown"
    """Nobody can tell after a step: a unit that does not answer any more. Never what an installer itself says."""


@dataclass(frozen=True, slots=True)
class OtherPackages:
    """Other packages since before the first step, a sentence each: what does not work any more, what else changed."""

    broken: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What the installer's database says of one package.

    ``version`` is what is there now; ``next_version`` what the next boot will start, None where that is the same.
    """

    health: Health
    version: str | None = None
    next_version: str | None = None
    beside: OtherPackages = OtherPackages()

    @property
    def is_as_before(self) -> bool:
        """Whether all other packages are as they were before the first step."""
        return self.beside == OtherPackages()

    @property
    def running_version(self) -> str | None:
        """The version that works; None where none does."""
        return self.version if self.health in {Health.INSTALLED, Health.UNCONFIRMED} else None

    def runs(self, version: str | None) -> bool:
        """Say whether exactly this version is installed, whole and there to stay (None: nothing of it is there)."""
        if self.next_version is not None:
            return False
        if version is None:
            return self.health is Health.ABSENT
        return self.health is Health.INSTALLED and self.version == version

    def has_started(self, version: str) -> bool:
        """Say whether exactly this version runs, confirmed or on trial."""
        return self.next_version is None and self.running_version == version


class Step(StrEnum):
    """What is done, one after the other; all but ``look``, ``boot`` and ``check`` are the installer's own commands."""

    INSTALL = "install"
    REPAIR = "repair"
    REINSTALL = "reinstall"
    LOOK = "look"
    """The installer's database is read after a step; written down only where that fails."""
    COMPARE = "compare"
    """The other packages are compared with how they were; written down only where one broke."""
    BOOT = "boot"
    """The vehicle's next boot is waited for; it starts what was installed."""
    CHECK = "check"
    """The vehicle's own health check is run, where it has one."""
    CONFIRM = "confirm"
    """What runs on trial is there to stay."""
    RESTORE = "restore"
    DISCARD = "discard"
    REMOVE = "remove"
    RUN = "run"
    """A command of the vehicle itself, for an update image."""


BACK = frozenset({Step.RESTORE, Step.DISCARD})
"""With one of these the way back begins."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of the journal; ``exit_code`` None: it was interrupted, nobody knows how it ended."""

    step: Step
    exit_code: int | None
    output: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether it is not known how it ended, or it was not begun: both are looked into and taken up again."""
        return self.exit_code in {None, NOT_BEGUN}


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done with one package, and what was there before it began."""

    name: str
    version: str
    command: Command
    previous_version: str | None
    can_restore: bool
    """Whether the installer has what it needs to bring the previous version back."""
    checked: bool = False
    """Whether the vehicle has a health check."""
    undo: bool = False
    """Whether it is over, and taken back because something after it failed."""
    before: Path | None = None
    """Folder of what the installer wrote down before the first step, where it does so."""


@dataclass(frozen=True, slots=True)
class Run:
    """Do this step next."""

    step: Step


@dataclass(frozen=True, slots=True)
class Finished:
    """There is nothing more to do: the result."""

    succeeded: bool
    code: ResultCode
    reason: Reason | None
    text: str


Decision = Run | Finished


def decide(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    """Say what follows from the steps so far and the state found."""
    if job.command is Command.REMOVE and not job.undo:
        return _decide_removal(job, history, found)
    if job.undo or any(record.step in BACK for record in history):
        return _decide_way_back(job, history, found)
    if not history:
        if found.runs(job.version):
            return Finished(True, ResultCode.ALREADY_PROCESSED, None, _success(job))
        return Run(Step.INSTALL)
    return _decide_forward(job, history, found)


def _decide_forward(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    if found.next_version == job.version:
        return _decide_before_boot(job, history, found)
    if found.has_started(job.version):
        return _decide_beside(history, found) or _decide_on_trial(job, history, found)
    return _decide_after_step(job, history, found)


def _decide_beside(history: Sequence[StepRecord], found: Found) -> Decision | None:
    """Say what follows where another package does not work any more: None where none does."""
    if not found.beside.broken:
        return None
    if history[-1].interrupted and sum(record.interrupted for record in history) <= MAX_INTERRUPTIONS:
        return Run(Step.REPAIR)
    return None if any(record.step is Step.COMPARE for record in history) else Run(Step.COMPARE)


def _decide_before_boot(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    last = history[-1]
    if last.step is Step.BOOT or last.exit_code not in {0, None}:
        return _decide_way_back(job, history, found)  # the boot did not start it, or it was not wholly written
    if last.interrupted:
        return _decide_after_step(job, history, found)
    return Run(Step.BOOT)


def _decide_on_trial(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    """What was installed runs: look whether it runs well, then say that it stays."""
    last = history[-1]
    if found.beside.broken:
        return _decide_way_back(job, history, found)
    if found.health is Health.UNCONFIRMED and last.exit_code not in {0, None}:
        return _decide_way_back(job, history, found)
    if job.checked:
        checks = [record for record in history if record.step is Step.CHECK]
        if _is_due(checks):
            return Run(Step.CHECK)
        if checks[-1].exit_code != 0:
            return _decide_way_back(job, history, found)
    if found.health is Health.UNCONFIRMED:
        due = _is_due([record for record in history if record.step is Step.CONFIRM])
        return Run(Step.CONFIRM) if due else _decide_way_back(job, history, found)
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
    # A command that says it succeeded and left configuration open (awaited triggers) gets one repair.
    if last.exit_code == 0 and unconfigured and not any(record.step is Step.REPAIR for record in history):
        return Run(Step.REPAIR)
    return _decide_way_back(job, history, found)


def _decide_way_back(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    code, reason = failure(job, history)
    what = f"{job.name} {job.version} " + ("was taken back" if job.undo else f"failed{_why(history)}")
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
    told = {
        Step.LOOK: ": nobody could tell what runs",
        Step.COMPARE: ": another package does not work with it",
        Step.CHECK: " its health check",
        Step.BOOT: " to start at the boot",
    }
    return next((told.get(record.step, "") for record in reversed(_forward(history))), "")


def _forward(history: Sequence[StepRecord]) -> list[StepRecord]:
    return list(itertools.takewhile(lambda record: record.step not in BACK, history))


def _what_is_left(job: Job, found: Found, tried: bool) -> str:
    state = f"it is {found.health} now" + (f", version {found.version}" if found.version else "")
    state = "; ".join([state, *found.beside.broken, *found.beside.changed])
    if job.previous_version is None:
        return f"{job.name} {job.version} failed and could not be removed: {state}"
    if found.runs(job.previous_version):
        return (
            f"{job.name} {job.version} failed; {job.previous_version} is there, and others are not as before: {state}"
        )
    why = "could not be restored" if tried else "could not be restored, since its file is not kept here"
    return f"{job.name} {job.version} failed; {job.previous_version}, which was there before, {why}: {state}"


def _decide_removal(job: Job, history: Sequence[StepRecord], found: Found) -> Decision:
    if found.health is Health.ABSENT and (beside := _decide_beside(history, found) if history else None):
        return beside
    if found.health is Health.ABSENT and not (history and found.beside.broken):
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
    """Say by which code and reason an attempt failed: told by the last forward step and what it printed."""
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
    """Give the result code of one step, for the report's list of operations."""
    if record.exit_code == 0:
        return ResultCode.OK
    if record.step is Step.LOOK:
        return ResultCode.INTERNAL_ERROR
    if record.interrupted:
        return ResultCode.GENERAL_ERROR
    if record.step in BACK or record.step is Step.BOOT:
        return ResultCode.GENERAL_ERROR
    return failure(job, [record])[0]
