"""The rules of an installation, against an installer that is played and may be interrupted at any step."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.boundaries.values import Command, Reason
from sota.slm.model import (
    MAX_INTERRUPTIONS,
    Finished,
    Found,
    Health,
    Job,
    OtherPackages,
    ResultCode,
    Run,
    Step,
    StepRecord,
    code_of,
    decide,
)
from sota.slm.versions import is_newer

INSTALL = Job("ivi", "2.0.0", Command.INSTALL, previous_version=None, can_restore=False)
UPGRADE = Job("ivi", "2.0.0", Command.INSTALL, previous_version="1.0.0", can_restore=True)
NO_WAY_BACK = Job("ivi", "2.0.0", Command.INSTALL, previous_version="1.0.0", can_restore=False)
REMOVE = Job("ivi", "1.0.0", Command.REMOVE, previous_version="1.0.0", can_restore=True)

ABSENT = Found(Health.ABSENT)
NEW = Found(Health.INSTALLED, "2.0.0")
OLD = Found(Health.INSTALLED, "1.0.0")
UNCONFIGURED = Found(Health.UNCONFIGURED, "2.0.0")
BROKEN = Found(Health.BROKEN, "2.0.0")
UNKNOWN = Found(Health.UNKNOWN)


def done(step: Step, exit_code: int | None = 0, output: str = "") -> StepRecord:
    return StepRecord(step, exit_code, output)


@pytest.mark.parametrize(
    ("job", "history", "found", "step"),
    [
        (INSTALL, [], ABSENT, Step.INSTALL),
        (UPGRADE, [], OLD, Step.INSTALL),
        # Interrupted: what is half there is taken up where it is.
        (INSTALL, [done(Step.INSTALL, None)], UNCONFIGURED, Step.REPAIR),
        (INSTALL, [done(Step.INSTALL, None)], BROKEN, Step.REINSTALL),
        (INSTALL, [done(Step.INSTALL, None)], ABSENT, Step.REINSTALL),
        (UPGRADE, [done(Step.INSTALL, None)], OLD, Step.REINSTALL),
        # The command was content, the database is not: repaired once.
        (INSTALL, [done(Step.INSTALL)], UNCONFIGURED, Step.REPAIR),
        (INSTALL, [done(Step.INSTALL), done(Step.REPAIR)], UNCONFIGURED, Step.DISCARD),
        # Failed: never tried again, but put back.
        (INSTALL, [done(Step.INSTALL, 1)], UNCONFIGURED, Step.DISCARD),
        (UPGRADE, [done(Step.INSTALL, 1)], BROKEN, Step.RESTORE),
        (UPGRADE, [done(Step.INSTALL, None), done(Step.REPAIR, 1)], UNCONFIGURED, Step.RESTORE),
        (UPGRADE, [done(Step.INSTALL, 1), done(Step.RESTORE, None)], BROKEN, Step.RESTORE),
        # The outcome is unknown: what was interrupted is done again, what had ended is put back.
        (UPGRADE, [done(Step.INSTALL, None)], UNKNOWN, Step.REINSTALL),
        (UPGRADE, [done(Step.INSTALL), done(Step.LOOK, 1)], UNKNOWN, Step.RESTORE),
        (INSTALL, [done(Step.INSTALL), done(Step.LOOK, 1)], UNKNOWN, Step.DISCARD),
        (REMOVE, [done(Step.REMOVE), done(Step.LOOK, 1)], UNKNOWN, Step.RESTORE),
        (REMOVE, [], OLD, Step.REMOVE),
        (REMOVE, [done(Step.REMOVE, None)], BROKEN, Step.REMOVE),
        (REMOVE, [done(Step.REMOVE, 1)], BROKEN, Step.RESTORE),
    ],
)
def test_next_step_follows_from_history_and_state(
    job: Job, history: list[StepRecord], found: Found, step: Step
) -> None:
    assert decide(job, history, found) == Run(step)


@pytest.mark.parametrize(
    ("job", "history", "found", "succeeded", "code", "reason"),
    [
        (INSTALL, [], NEW, True, ResultCode.ALREADY_PROCESSED, None),
        (INSTALL, [done(Step.INSTALL)], NEW, True, ResultCode.OK, None),
        (INSTALL, [done(Step.INSTALL, None)], NEW, True, ResultCode.OK, None),
        (
            INSTALL,
            [done(Step.INSTALL, 1), done(Step.DISCARD)],
            ABSENT,
            False,
            ResultCode.INSTALL_FAILED,
            Reason.INSTALL_FAILED,
        ),
        (
            INSTALL,
            [done(Step.INSTALL, 1), done(Step.DISCARD, 1)],
            BROKEN,
            False,
            ResultCode.INSTALL_FAILED,
            Reason.INSTALL_FAILED,
        ),
        (INSTALL, [done(Step.INSTALL)], ABSENT, False, ResultCode.INSTALL_FAILED, Reason.VERIFICATION_FAILED),
        (UPGRADE, [done(Step.INSTALL, 1)], OLD, False, ResultCode.UPGRADE_FAILED, Reason.ROLLED_BACK),
        (
            UPGRADE,
            [done(Step.INSTALL, 1), done(Step.RESTORE)],
            OLD,
            False,
            ResultCode.UPGRADE_FAILED,
            Reason.ROLLED_BACK,
        ),
        (
            UPGRADE,
            [done(Step.INSTALL, 1), done(Step.RESTORE, 1)],
            BROKEN,
            False,
            ResultCode.UPGRADE_FAILED,
            Reason.INSTALL_FAILED,
        ),
        (NO_WAY_BACK, [done(Step.INSTALL, 1)], BROKEN, False, ResultCode.UPGRADE_FAILED, Reason.INSTALL_FAILED),
        (
            UPGRADE,
            [done(Step.INSTALL), done(Step.LOOK, 1), done(Step.RESTORE), done(Step.LOOK, 1)],
            UNKNOWN,
            False,
            ResultCode.UPGRADE_FAILED,
            Reason.VERIFICATION_FAILED,
        ),
        (REMOVE, [], ABSENT, True, ResultCode.ALREADY_PROCESSED, None),
        (REMOVE, [], NEW, False, ResultCode.NOT_FOUND, Reason.INSTALL_FAILED),
        (REMOVE, [done(Step.REMOVE)], ABSENT, True, ResultCode.OK, None),
        (REMOVE, [done(Step.REMOVE, 1)], OLD, False, ResultCode.REMOVAL_FAILED, Reason.INSTALL_FAILED),
    ],
)
def test_end_is_what_the_database_says(
    job: Job, history: list[StepRecord], found: Found, succeeded: bool, code: ResultCode, reason: Reason | None
) -> None:
    decision = decide(job, history, found)
    assert isinstance(decision, Finished)
    assert (decision.succeeded, decision.code, decision.reason) == (succeeded, code, reason)


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        ("dpkg: dependency problems prevent configuration of ivi:", ResultCode.DEPENDENCY_FAILURE, Reason.DEPENDENCY),
        ("cannot copy: No space left on device", ResultCode.DISK_FULL, Reason.INSTALL_FAILED),
        ("exit status 3", ResultCode.INSTALL_FAILED, Reason.INSTALL_FAILED),
    ],
)
def test_output_tells_why_it_failed(output: str, code: ResultCode, reason: Reason) -> None:
    history = [done(Step.INSTALL, 1, output), done(Step.DISCARD)]
    decision = decide(INSTALL, history, ABSENT)
    assert isinstance(decision, Finished)
    assert (decision.code, decision.reason) == (code, reason)
    assert code_of(INSTALL, history[0]) is code


def test_what_could_not_be_restored_is_said() -> None:
    decision = decide(NO_WAY_BACK, [done(Step.INSTALL, 1)], UNCONFIGURED)
    assert isinstance(decision, Finished)
    assert "could not be restored, since its file is not kept here: it is unconfigured now" in decision.text


@dataclass
class PlayedInstaller:
    """Does what a step says, unless it is interrupted or made to fail; counts what ended."""

    state: Found
    job: Job
    ended: list[Step] = field(default_factory=list)

    def do(self, step: Step, fate: str) -> StepRecord:
        if fate == "cut before":
            return StepRecord(step, None)
        forward = step in {Step.INSTALL, Step.REINSTALL, Step.REPAIR}
        if fate != "goes well":
            self.state = Found(Health.UNCONFIGURED if fate == "cut late" else Health.BROKEN, self.job.version)
            if fate == "fails":
                self.ended.append(step)
            return StepRecord(step, 1 if fate == "fails" else None)
        self.ended.append(step)
        if forward:
            self.state = Found(Health.INSTALLED, self.job.version)
        elif step is Step.RESTORE:
            self.state = Found(Health.INSTALLED, self.job.previous_version)
        else:
            self.state = ABSENT
        return StepRecord(step, 0)


FATES = st.lists(
    st.sampled_from(["goes well", "fails", "cut before", "cut middle", "cut late"]), min_size=40, max_size=40
)


@given(FATES, st.sampled_from([INSTALL, UPGRADE, NO_WAY_BACK, REMOVE]))
def test_every_way_ends_truthfully_and_no_step_that_ended_is_repeated(fates: list[str], job: Job) -> None:
    installer = PlayedInstaller(ABSENT if job is INSTALL else OLD, job)
    history: list[StepRecord] = []
    decision = decide(job, history, installer.state)
    while isinstance(decision, Run):
        history.append(installer.do(decision.step, fates[len(history)]))
        decision = decide(job, history, installer.state)

    assert len(installer.ended) == len(set(installer.ended))
    assert len(history) <= 2 * (MAX_INTERRUPTIONS + 2)
    wanted = None if job.command is Command.REMOVE else job.version
    assert decision.succeeded is installer.state.runs(wanted)
    if decision.reason is Reason.ROLLED_BACK:
        assert installer.state.runs(job.previous_version)


def test_newer_version_is_told_by_its_numbers() -> None:
    assert is_newer("1.10.0", "1.9.0")
    assert not is_newer("1.9.0", "1.10.0")
    assert not is_newer("1.0.0", "1.0.0")
    assert is_newer("3.0-2+b1", "1.0.0")


CHECKED = Job("ivi", "2.0.0", Command.INSTALL, previous_version="1.0.0", can_restore=True, checked=True)
UNDO = Job("ivi", "2.0.0", Command.INSTALL, previous_version="1.0.0", can_restore=True, undo=True)
WAITS = Found(Health.INSTALLED, "1.0.0", next_version="2.0.0")
TRIAL = Found(Health.UNCONFIRMED, "2.0.0")


@pytest.mark.parametrize(
    ("job", "history", "found", "step"),
    [
        # Installed, booted, checked and confirmed are different things.
        (UPGRADE, [done(Step.INSTALL)], WAITS, Step.BOOT),
        (UPGRADE, [done(Step.INSTALL), done(Step.BOOT)], TRIAL, Step.CONFIRM),
        (CHECKED, [done(Step.INSTALL), done(Step.BOOT)], TRIAL, Step.CHECK),
        (CHECKED, [done(Step.INSTALL), done(Step.CHECK)], TRIAL, Step.CONFIRM),
        (CHECKED, [done(Step.INSTALL)], NEW, Step.CHECK),
        (CHECKED, [done(Step.INSTALL), done(Step.CHECK, None)], NEW, Step.CHECK),
        # What was not wholly written is not booted; what the boot did not start, or runs badly, goes back.
        (UPGRADE, [done(Step.INSTALL, 1)], WAITS, Step.RESTORE),
        (UPGRADE, [done(Step.INSTALL, None)], WAITS, Step.REINSTALL),
        (UPGRADE, [done(Step.INSTALL), done(Step.BOOT, 124)], WAITS, Step.RESTORE),
        (CHECKED, [done(Step.INSTALL), done(Step.CHECK, 1)], TRIAL, Step.RESTORE),
        (CHECKED, [done(Step.INSTALL), done(Step.CHECK, 1)], NEW, Step.RESTORE),
        (UPGRADE, [done(Step.INSTALL), done(Step.CONFIRM, 1)], TRIAL, Step.RESTORE),
        # The way back may need a boot and a confirmation too.
        (CHECKED, [done(Step.CHECK, 1), done(Step.RESTORE)], Found(Health.UNCONFIRMED, "2.0.0", "1.0.0"), Step.BOOT),
        (UPGRADE, [done(Step.INSTALL), done(Step.RESTORE)], Found(Health.UNCONFIRMED, "1.0.0"), Step.CONFIRM),
        (UNDO, [], NEW, Step.RESTORE),
        (UNDO, [done(Step.RESTORE, None)], BROKEN, Step.RESTORE),
    ],
)
def test_what_runs_is_checked_before_it_stays(job: Job, history: list[StepRecord], found: Found, step: Step) -> None:
    assert decide(job, history, found) == Run(step)


@pytest.mark.parametrize(
    ("job", "history", "found", "code", "reason", "text"),
    [
        (CHECKED, [done(Step.INSTALL), done(Step.CHECK)], NEW, 0, None, "is installed"),
        (CHECKED, [done(Step.INSTALL), done(Step.CHECK), done(Step.CONFIRM)], NEW, 0, None, "is installed"),
        # The boot loader fell back by itself.
        (UPGRADE, [done(Step.INSTALL), done(Step.BOOT)], OLD, 5, Reason.ROLLED_BACK, "to start at the boot"),
        (CHECKED, [done(Step.CHECK, 1), done(Step.RESTORE)], OLD, 5, Reason.ROLLED_BACK, "its health check"),
        (UNDO, [done(Step.RESTORE)], OLD, 5, Reason.ROLLED_BACK, "was undone"),
        (UNDO, [done(Step.RESTORE, 1)], NEW, 5, Reason.INSTALL_FAILED, "could not be restored"),
    ],
)
def test_end_of_what_was_checked(
    job: Job, history: list[StepRecord], found: Found, code: int, reason: Reason | None, text: str
) -> None:
    finished = decide(job, history, found)

    assert isinstance(finished, Finished)
    assert (finished.code, finished.reason) == (code, reason)
    assert finished.succeeded is (reason is None)
    assert text in finished.text


UPDATE = Job("ivi", "2.0.0", Command.INSTALL, previous_version="1.0.0", can_restore=True)
REMOVAL = Job("ivi", "1.0.0", Command.REMOVE, previous_version="1.0.0", can_restore=True)
BESIDE_BROKE, BESIDE_CHANGED = (
    OtherPackages(broken=("nav is half-configured",)),
    OtherPackages(changed=("old was removed",)),
)
DONE, BROKE = StepRecord(Step.INSTALL, 0), StepRecord(Step.COMPARE, 1, "nav is half-configured")


@pytest.mark.parametrize(
    ("job", "history", "found", "step"),
    [
        (UPDATE, [DONE], Found(Health.INSTALLED, "2.0.0", others=BESIDE_BROKE), Step.COMPARE),
        (UPDATE, [StepRecord(Step.INSTALL, None)], Found(Health.INSTALLED, "2.0.0", others=BESIDE_BROKE), Step.REPAIR),
        (UPDATE, [DONE, BROKE], Found(Health.INSTALLED, "2.0.0", others=BESIDE_BROKE), Step.RESTORE),
        (UPDATE, [StepRecord(Step.INSTALL, 1)], Found(Health.INSTALLED, "1.0.0", others=BESIDE_CHANGED), Step.RESTORE),
        (REMOVAL, [StepRecord(Step.REMOVE, 1)], Found(Health.ABSENT, others=BESIDE_BROKE), Step.COMPARE),
        (REMOVAL, [StepRecord(Step.REMOVE, 1), BROKE], Found(Health.ABSENT, others=BESIDE_BROKE), Step.RESTORE),
    ],
)
def test_what_follows_when_another_package_changed(
    job: Job, history: list[StepRecord], found: Found, step: Step
) -> None:
    assert decide(job, history, found) == Run(step)


def test_update_that_replaces_another_package_is_a_success() -> None:
    decision = decide(UPDATE, [DONE], Found(Health.INSTALLED, "2.0.0", others=BESIDE_CHANGED))
    assert isinstance(decision, Finished)
    assert decision.succeeded


def test_update_is_rolled_back_only_when_all_other_packages_are_as_before() -> None:
    history = [DONE, BROKE, StepRecord(Step.RESTORE, 0)]
    whole = decide(UPDATE, history, Found(Health.INSTALLED, "1.0.0"))
    partly = decide(UPDATE, history, Found(Health.INSTALLED, "1.0.0", others=BESIDE_CHANGED))
    assert isinstance(whole, Finished)
    assert isinstance(partly, Finished)
    assert (whole.code, whole.reason) == (ResultCode.DEPENDENCY_FAILURE, Reason.ROLLED_BACK)
    assert partly.reason is Reason.DEPENDENCY
    assert "others are not as before: it is installed now, version 1.0.0; old was removed" in partly.text
