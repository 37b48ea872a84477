"""What every installer must do, one function each; a broken rule raises a sentence with what happened instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.boundaries.values import Command, Reason
from sota.slm.contract.testbed import ContractBroken, Fault, Loss, NotApplicable, Testbed
from sota.slm.installers import Capability

KILLS = 8
FEW_KILLS = {Loss.POWER: 3, Loss.PROGRAM: 2}
MAX_WRITES = 60
AFTER_INSTALLATION = 5.0
"""The writes before this one belong to the installation, those after it to the rollback."""
FEW = {Loss.POWER: 1.5, Loss.PROGRAM: 5.5}
"""Distance between the writes of a sample."""


def expect(holds: bool, sentence: str) -> None:
    """Require a condition.

    Raises:
        ContractBroken: it does not hold.
    """
    if not holds:
        raise ContractBroken(sentence)


def expect_runs(testbed: Testbed, version: str | None, report: InstallReport) -> None:
    """Require that the version runs and that the report says so."""
    running = testbed.subject.running()
    results = [(operation.id, operation.result_code, operation.result_text) for operation in report.operations]
    expect(running == version, f"{version} should run, and {running} does: {results}")
    expect(report.running_version == version, f"the report says that {report.running_version} runs, {version} does")


def expect_installed(testbed: Testbed, version: str, report: InstallReport) -> None:
    """Require one installation, and a report of success up to its last operation."""
    results = [(operation.id, operation.result_code, operation.result_text) for operation in report.operations]
    expect(report.status == "installed", f"{version} was not installed: {results}")
    expect(report.operations[-1].succeeded, f"the last operation of a success did not succeed: {results}")
    done = [name for name, code, _ in results if name in {"install", "reinstall"} and code == 0]
    expect(len(done) <= 1, f"{version} was installed {len(done)} times: {results}")
    expect_runs(testbed, version, report)


def expect_failed(testbed: Testbed, running: str | None, report: InstallReport) -> None:
    """Require a failure that the report explains, and that the previous version runs."""
    results = [(operation.id, operation.result_code, operation.result_text) for operation in report.operations]
    expect(report.status == "failed", f"the report says {report.status}: {results}")
    expect(report.reason is not None, f"the report gives no reason: {results}")
    expect(
        any(not operation.succeeded for operation in report.operations), f"no operation says that it failed: {results}"
    )
    expect_runs(testbed, running, report)


async def good_installation(testbed: Testbed) -> None:
    """A first version is installed, and a second one replaces it."""
    expect_installed(testbed, "1.0.0", await testbed.install("1.0.0"))
    expect_installed(testbed, "2.0.0", await testbed.install("2.0.0"))


async def repeated_installation(testbed: Testbed) -> None:
    """An installed version is not installed again."""
    await testbed.install("1.0.0")
    report = await testbed.install("1.0.0")
    expect_installed(testbed, "1.0.0", report)
    ids = [operation.id for operation in report.operations]
    expect(ids == ["verify"] and report.operations[0].result_code == 1, f"it was done again: {ids}")


async def failing_installation(testbed: Testbed) -> None:
    """A failure leaves the previous state: nothing, or the old version."""
    testbed.need_fault(Fault.FAILS)
    expect_failed(testbed, None, await testbed.install("1.0.0", Fault.FAILS))
    await testbed.install("1.0.0")
    report = await testbed.install("2.0.0", Fault.FAILS)
    expect_failed(testbed, "1.0.0", report)
    expect(report.reason is not Reason.DECLINED, "no driver declined it")
    expect_installed(testbed, "3.0.0", await testbed.install("3.0.0"))


async def failing_health_check(testbed: Testbed) -> None:
    """A version that fails its health check is rolled back, and the report shows the check."""
    testbed.need_fault(Fault.UNHEALTHY)
    await testbed.install("1.0.0")
    report = await testbed.install("2.0.0", Fault.UNHEALTHY)
    expect_failed(testbed, "1.0.0", report)
    expect(report.reason is Reason.ROLLED_BACK, f"the reason should be rolled_back and is {report.reason}")
    check = [operation.result_code for operation in report.operations if operation.id == "check"]
    expect(bool(check) and check[-1] not in {0, 1}, f"the report shows no failed health check: {report.operations}")
    expect_installed(testbed, "3.0.0", await testbed.install("3.0.0"))


async def failing_health_check_of_a_first_version(testbed: Testbed) -> None:
    """A first version that fails its health check is removed."""
    testbed.need_fault(Fault.UNHEALTHY)
    if not testbed.has(Capability.REMOVE):
        raise NotApplicable(f"{testbed.installer.name} cannot remove")
    expect_failed(testbed, None, await testbed.install("1.0.0", Fault.UNHEALTHY))


async def damaged_file(testbed: Testbed) -> None:
    """A damaged file is refused, and the running version is unchanged."""
    testbed.need_fault(Fault.DAMAGED)
    await testbed.install("1.0.0")
    expect_failed(testbed, "1.0.0", await testbed.install("2.0.0", Fault.DAMAGED))


async def file_of_zeros(testbed: Testbed) -> None:
    """A file that is not a package is refused or fails; the running version is unchanged."""
    await testbed.install("1.0.0")
    file = testbed.folder / "zeros"
    file.write_bytes(bytes(100_000))
    await testbed.offer("2.0.0", Command.INSTALL, file)
    expect_failed(testbed, "1.0.0", await testbed.carry_out())


async def full_disk(testbed: Testbed) -> None:
    """On a full disk the old version keeps running, and the report shows the failure."""
    await testbed.install("1.0.0")
    file = testbed.subject.build("2.0.0", Fault.NONE)
    await testbed.offer("2.0.0", Command.INSTALL, file)
    with testbed.subject.full_disk():
        report = await testbed.carry_out()
    expect_failed(testbed, "1.0.0", report)
    expect_installed(testbed, "3.0.0", await testbed.install("3.0.0"))


async def removal(testbed: Testbed) -> None:
    """A removed package is gone, and removing it again changes nothing; an impossible removal is refused."""
    await testbed.install("1.0.0")
    report = await testbed.remove("1.0.0")
    if not testbed.has(Capability.REMOVE):
        expect_failed(testbed, "1.0.0", report)
        return
    expect(report.status == "installed", f"it was not removed: {report.operations}")
    expect(testbed.subject.running() is None, "it says that it was removed, and it runs")
    again = await testbed.remove("1.0.0")
    expect(again.operations[-1].result_code == 1, "removing nothing should be 'already processed'")


async def removal_of_another_version(testbed: Testbed) -> None:
    """Removing a version that is not installed leaves the installed one."""
    await testbed.install("1.0.0")
    expect_failed(testbed, "1.0.0", await testbed.remove("2.0.0"))


async def power_loss_at_each_write(testbed: Testbed) -> None:
    """A loss of power before or after any write to the journal leads to the right result, exactly once."""
    await _lose_at_each_write(testbed, Loss.POWER)


async def kill_at_each_write(testbed: Testbed) -> None:
    """A kill of the manager alone, whose step continues, leads to the right result, exactly once."""
    await _lose_at_each_write(testbed, Loss.PROGRAM)


async def _lose_at_each_write(testbed: Testbed, loss: Loss, at: float = 1.0, fault: Fault = Fault.NONE) -> None:
    """Lose the power at each write from ``at`` on, while a version is installed or a faulty one is rolled back."""

    def look(version: str, report: InstallReport) -> None:
        if fault is Fault.NONE:
            expect_installed(testbed, version, report)
        else:
            expect_failed(testbed, "1.0.0", report)

    await testbed.install("1.0.0")
    number = 2
    while at < MAX_WRITES:
        version = f"{number}.0.0"
        await testbed.offer(version, Command.INSTALL, testbed.subject.build(version, fault))
        report = await testbed.carry_out(lose_at=at, loss=loss)
        if not testbed.lost:  # there are no more writes
            look(version, report)
            return
        with testbed.judging("forward" if fault is Fault.NONE else "back"):
            look(version, report)
        at, number = at + (0.5 if testbed.thorough else FEW[loss]), number + 1
    raise ContractBroken(f"it takes more than {MAX_WRITES} writes")


async def power_loss_during_the_step(testbed: Testbed) -> None:
    """A loss of power during the installer's work leads to the new version, or to the old one and a failure."""
    await _lose_during_the_step(testbed, Loss.POWER)


async def kill_during_the_step(testbed: Testbed) -> None:
    """After a kill of the manager during the installer's work its next start finds the step's result."""
    await _lose_during_the_step(testbed, Loss.PROGRAM)


async def _lose_during_the_step(testbed: Testbed, loss: Loss) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    expect_installed(testbed, "1.0.0", await testbed.install("1.0.0"))
    took_s = loop.time() - begun
    kills = KILLS if testbed.thorough else FEW_KILLS[loss]
    for number in range(kills):
        version, before = f"{number + 2}.0.0", testbed.subject.running()
        await testbed.offer(version, Command.INSTALL, testbed.subject.build(version, Fault.NONE))
        report = await testbed.carry_out(kill_after_s=took_s * number / kills, loss=loss)
        with testbed.judging("forward", f"after {number}/{kills} of the time"):
            if loss is Loss.POWER and report.status != "installed":
                expect_failed(testbed, before, report)
            else:
                expect_installed(testbed, version, report)


async def power_loss_on_the_way_back(testbed: Testbed) -> None:
    """A loss of power at any write of a rollback leads to the old version and a report of failure."""
    await _lose_during_rollback(testbed, Loss.POWER)


async def kill_on_the_way_back(testbed: Testbed) -> None:
    """A kill of the manager alone at any write of a rollback leads to the same."""
    await _lose_during_rollback(testbed, Loss.PROGRAM)


async def _lose_during_rollback(testbed: Testbed, loss: Loss) -> None:
    testbed.need_fault(Fault.UNHEALTHY)
    await _lose_at_each_write(testbed, loss, AFTER_INSTALLATION, Fault.UNHEALTHY)


CASES: dict[str, Callable[[Testbed], Awaitable[None]]] = {
    case.__name__: case
    for case in (
        good_installation,
        repeated_installation,
        failing_installation,
        failing_health_check,
        failing_health_check_of_a_first_version,
        damaged_file,
        file_of_zeros,
        full_disk,
        removal,
        removal_of_another_version,
        power_loss_at_each_write,
        power_loss_during_the_step,
        power_loss_on_the_way_back,
        kill_at_each_write,
        kill_during_the_step,
        kill_on_the_way_back,
    )
}
"""Every case by its name."""
