"""What every installer must do, one function each; the sentence of a broken one says what it did instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sota.boundaries.b10_client_slm.messages import InstallReport
from sota.boundaries.values import Command, Reason
from sota.slm.contract.bay import Bay, ContractBroken, Fault, Loss, NotApplicable
from sota.slm.installers import Capability

KILLS = 8
FEW_KILLS = {Loss.POWER: 3, Loss.PROGRAM: 2}
MAX_WRITES = 60
FEW = {Loss.POWER: 1.5, Loss.PROGRAM: 5.5}
"""How far apart the writes of a sample are."""


def expect(holds: bool, sentence: str) -> None:
    """Say that something must hold.

    Raises:
        ContractBroken: it does not.
    """
    if not holds:
        raise ContractBroken(sentence)


def expect_runs(bay: Bay, version: str | None, report: InstallReport) -> None:
    """The version runs, and the report says so."""
    running = bay.subject.running()
    told = [(operation.id, operation.result_code, operation.result_text) for operation in report.operations]
    expect(running == version, f"{version} should run, and {running} does: {told}")
    expect(report.running_version == version, f"the report says that {report.running_version} runs, {version} does")


def expect_installed(bay: Bay, version: str, report: InstallReport) -> None:
    """It was installed, once, and the report is one of success to its last operation."""
    told = [(operation.id, operation.result_code, operation.result_text) for operation in report.operations]
    expect(report.status == "installed", f"{version} was not installed: {told}")
    expect(report.operations[-1].succeeded, f"the last operation of a success did not succeed: {told}")
    done = [name for name, code, _ in told if name in {"install", "reinstall"} and code == 0]
    expect(len(done) <= 1, f"{version} was installed {len(done)} times: {told}")
    expect_runs(bay, version, report)


def expect_failed(bay: Bay, running: str | None, report: InstallReport) -> None:
    """It failed, the report says so and why, and what ran before runs."""
    told = [(operation.id, operation.result_code, operation.result_text) for operation in report.operations]
    expect(report.status == "failed", f"the report says {report.status}: {told}")
    expect(report.reason is not None, f"the report gives no reason: {told}")
    expect(any(not operation.succeeded for operation in report.operations), f"no operation says that it failed: {told}")
    expect_runs(bay, running, report)


async def good_installation(bay: Bay) -> None:
    """A first version, and a second over it."""
    expect_installed(bay, "1.0.0", await bay.install("1.0.0"))
    expect_installed(bay, "2.0.0", await bay.install("2.0.0"))


async def repeated_installation(bay: Bay) -> None:
    """What is installed already is not installed again."""
    await bay.install("1.0.0")
    report = await bay.install("1.0.0")
    expect_installed(bay, "1.0.0", report)
    ids = [operation.id for operation in report.operations]
    expect(ids == ["verify"] and report.operations[0].result_code == 1, f"it was done again: {ids}")


async def failing_installation(bay: Bay) -> None:
    """What fails leaves what was there before: nothing, or the old version."""
    bay.need_fault(Fault.FAILS)
    expect_failed(bay, None, await bay.install("1.0.0", Fault.FAILS))
    await bay.install("1.0.0")
    report = await bay.install("2.0.0", Fault.FAILS)
    expect_failed(bay, "1.0.0", report)
    expect(report.reason is not Reason.DECLINED, "nobody declined it")
    expect_installed(bay, "3.0.0", await bay.install("3.0.0"))


async def failing_health_check(bay: Bay) -> None:
    """What installs and does not run well is taken back, and the report says which check failed."""
    bay.need_fault(Fault.UNHEALTHY)
    await bay.install("1.0.0")
    report = await bay.install("2.0.0", Fault.UNHEALTHY)
    expect_failed(bay, "1.0.0", report)
    expect(report.reason is Reason.ROLLED_BACK, f"the reason should be rolled_back and is {report.reason}")
    check = [operation.result_code for operation in report.operations if operation.id == "check"]
    expect(bool(check) and check[-1] not in {0, 1}, f"the report shows no failed health check: {report.operations}")
    expect_installed(bay, "3.0.0", await bay.install("3.0.0"))


async def failing_health_check_of_a_first_version(bay: Bay) -> None:
    """A first version that does not run well does not stay."""
    bay.need_fault(Fault.UNHEALTHY)
    if not bay.has(Capability.REMOVE):
        raise NotApplicable(f"{bay.installer.name} cannot remove")
    expect_failed(bay, None, await bay.install("1.0.0", Fault.UNHEALTHY))


async def damaged_file(bay: Bay) -> None:
    """A file that is not what it should be is refused, and what runs is untouched."""
    bay.need_fault(Fault.DAMAGED)
    await bay.install("1.0.0")
    expect_failed(bay, "1.0.0", await bay.install("2.0.0", Fault.DAMAGED))


async def file_of_zeros(bay: Bay) -> None:
    """Bytes that are no package at all are refused or fail; what runs is untouched."""
    await bay.install("1.0.0")
    file = bay.folder / "zeros"
    file.write_bytes(bytes(100_000))
    await bay.offer("2.0.0", Command.INSTALL, file)
    expect_failed(bay, "1.0.0", await bay.carry_out())


async def full_disk(bay: Bay) -> None:
    """Without room the old version runs on, and the report is one of failure."""
    await bay.install("1.0.0")
    file = bay.subject.build("2.0.0", Fault.NONE)
    await bay.offer("2.0.0", Command.INSTALL, file)
    with bay.subject.full_disk():
        report = await bay.carry_out()
    expect_failed(bay, "1.0.0", report)
    expect_installed(bay, "3.0.0", await bay.install("3.0.0"))


async def removal(bay: Bay) -> None:
    """What is removed is gone, and removing it again changes nothing; where that is impossible it is refused."""
    await bay.install("1.0.0")
    report = await bay.remove("1.0.0")
    if not bay.has(Capability.REMOVE):
        expect_failed(bay, "1.0.0", report)
        return
    expect(report.status == "installed", f"it was not removed: {report.operations}")
    expect(bay.subject.running() is None, "it says that it was removed, and it runs")
    again = await bay.remove("1.0.0")
    expect(again.operations[-1].result_code == 1, "removing nothing should be 'already processed'")


async def removal_of_another_version(bay: Bay) -> None:
    """A version that is not the one installed is not removed in its name."""
    await bay.install("1.0.0")
    expect_failed(bay, "1.0.0", await bay.remove("2.0.0"))


async def power_loss_at_each_write(bay: Bay) -> None:
    """Before and after each write to the journal the power goes: the right end, exactly once."""
    await _lose_at_each_write(bay, Loss.POWER)


async def kill_at_each_write(bay: Bay) -> None:
    """Before and after each write the manager alone is killed, whose step goes on by itself: exactly once as well."""
    await _lose_at_each_write(bay, Loss.PROGRAM)


async def _lose_at_each_write(bay: Bay, loss: Loss) -> None:
    await bay.install("1.0.0")
    at, version = 1.0, 2
    while at < MAX_WRITES:
        await bay.offer(f"{version}.0.0", Command.INSTALL, bay.subject.build(f"{version}.0.0", Fault.NONE))
        report = await bay.carry_out(lose_at=at, loss=loss)
        if not bay.lost:  # there is no such write any more
            expect_installed(bay, f"{version}.0.0", report)
            return
        with bay.judging("forward"):
            expect_installed(bay, f"{version}.0.0", report)
        at, version = at + (0.5 if bay.thorough else FEW[loss]), version + 1
    raise ContractBroken(f"an installation takes more than {MAX_WRITES} writes")


async def power_loss_during_the_step(bay: Bay) -> None:
    """Wherever in the installer's own work the power goes: the new version wholly, or the old one and a failure."""

    def look(version: str, before: str | None, report: InstallReport) -> None:
        if report.status == "installed":
            expect_installed(bay, version, report)
        else:
            expect_failed(bay, before, report)

    await _lose_during_the_step(bay, Loss.POWER, look)


async def kill_during_the_step(bay: Bay) -> None:
    """Wherever in the installer's own work the manager is killed: its next start hears how the step went."""

    def look(version: str, _before: str | None, report: InstallReport) -> None:
        expect_installed(bay, version, report)

    await _lose_during_the_step(bay, Loss.PROGRAM, look)


async def _lose_during_the_step(bay: Bay, loss: Loss, look: Callable[[str, str | None, InstallReport], None]) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    expect_installed(bay, "1.0.0", await bay.install("1.0.0"))
    took_s = loop.time() - begun
    kills = KILLS if bay.thorough else FEW_KILLS[loss]
    for number in range(kills):
        version, before = f"{number + 2}.0.0", bay.subject.running()
        await bay.offer(version, Command.INSTALL, bay.subject.build(version, Fault.NONE))
        report = await bay.carry_out(kill_after_s=took_s * number / kills, loss=loss)
        with bay.judging("forward", f"after {number}/{kills} of the time"):
            look(version, before, report)


async def power_loss_on_the_way_back(bay: Bay) -> None:
    """Before and after each write while a failed version is taken back: the old version, and a report of failure."""
    await _lose_on_the_way_back(bay, Loss.POWER)


async def kill_on_the_way_back(bay: Bay) -> None:
    """The same where the manager alone is killed."""
    await _lose_on_the_way_back(bay, Loss.PROGRAM)


async def _lose_on_the_way_back(bay: Bay, loss: Loss) -> None:
    bay.need_fault(Fault.UNHEALTHY)
    await bay.install("1.0.0")
    at, version = 5.0, 2  # what comes before is the way forward
    while at < MAX_WRITES:
        await bay.offer(f"{version}.0.0", Command.INSTALL, bay.subject.build(f"{version}.0.0", Fault.UNHEALTHY))
        report = await bay.carry_out(lose_at=at, loss=loss)
        if not bay.lost:
            expect_failed(bay, "1.0.0", report)
            return
        with bay.judging("back"):
            expect_failed(bay, "1.0.0", report)
        at, version = at + (0.5 if bay.thorough else FEW[loss]), version + 1
    raise ContractBroken(f"a way back takes more than {MAX_WRITES} writes")


CASES: dict[str, Callable[[Bay], Awaitable[None]]] = {
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
