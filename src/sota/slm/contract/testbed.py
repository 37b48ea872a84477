"""The testbed of the contract: one installer with the real rules, the real journal and real processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar, cast

from sota.boundaries.b7_core_rvi.messages import Download, InstallReport, StartDownload, UpdateAvailable
from sota.boundaries.values import Command, PackageId
from sota.kit.runtime import faults
from sota.kit.runtime.clock import new_id
from sota.kit.sql.local_database import LocalDatabase
from sota.kit.sql.local_file import Connection
from sota.kit.sql.local_threads import Threads
from sota.slm.boot import Boot
from sota.slm.entry import State
from sota.slm.installation import Installation
from sota.slm.installers import Capability, Installer
from sota.slm.journal import Journal
from sota.slm.preconditions import Preconditions
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import StepRunner

VIN = "CONTRACT000000000"
EPOCH = "0" * 16
STEP_TIMEOUT_S = 120.0
CASE_TIMEOUT_S = 240.0
LOCK_TIMEOUT_S = 30.0
BOOT_TIMEOUT_S = 60.0
PAUSE_S = 0.05
Result = TypeVar("Result")


class ContractBroken(AssertionError):
    """The installer breaks a rule that all installers must keep."""


class NotApplicable(Exception):
    """The case does not apply to this installer, or not on this machine."""


class PowerLoss(BaseException):
    """A simulated loss of power, or a kill: no later code and no handler runs."""


class Loss(StrEnum):
    """What is lost: everything, or the Software Loading Manager alone, whose step continues."""

    POWER = "power"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial, an entry in the matrix of ``make faults``: the place of a loss, and whether the result was right.

    ``write`` is the journal's write or the moment of the step, ``side`` before or after it, ``way`` forward or back.
    """

    loss: Loss
    way: str
    write: str
    side: str
    right: bool


class Fault(StrEnum):
    """What is wrong with a package that a subject builds."""

    NONE = "none"
    FAILS = "fails"
    """Its installation fails half-way."""
    UNHEALTHY = "unhealthy"
    """It installs, and then the vehicle's health check fails."""
    DAMAGED = "damaged"
    """A byte was changed in a way that its installer can detect."""


class Subject(Protocol):
    """One installer under test, with its own vehicle. ``name`` is the package's name."""

    name: str
    faults: frozenset[Fault]
    """The faults that its packages can have."""
    boot_id_file: Path
    """The file that changes with each boot; any file for an installer that needs no boot."""

    @property
    def health_check(self) -> Sequence[str]:
        """A command line that fails while an unhealthy version runs."""

    def installer(self) -> Installer:
        """Return a new installer, as each start of the Software Loading Manager makes one."""

    def build(self, version: str, fault: Fault) -> Path:
        """Build a package of this version."""

    def running(self) -> str | None:
        """Return which version runs, without using the installer."""

    def boot(self) -> None:
        """Boot the vehicle; called only for installers with ``NEEDS_BOOT``."""

    def full_disk(self) -> contextlib.AbstractContextManager[None]:
        """Fill the disk to which the installer writes, within the context.

        Raises:
            NotApplicable: this machine cannot do that.
        """


class _Interrupted(LocalDatabase):
    """A journal's database that simulates a loss of power before or after one of its writes, at ``place``."""

    def __init__(self, path: Path, schema: tuple[str, ...], threads: Threads | None = None) -> None:
        super().__init__(path, schema, threads)
        self.writes = 0
        self.lose_at: float = 0
        """Before write 3 is 3.0, after it 3.5."""
        self.place: tuple[str, str] | None = None
        self._names: Counter[str] = Counter()

    async def transact(self, work: Callable[[Connection], Result], *, durable: bool = True) -> Result:
        self.writes += 1
        name = faults.step_of(work)
        self._names[name] += 1
        if self.writes == self.lose_at:
            self._lose(name, faults.BEFORE)
        result = await super().transact(work, durable=durable)
        if self.writes + 0.5 == self.lose_at:
            self._lose(name, faults.AFTER)
        return result

    def _lose(self, name: str, side: str) -> NoReturn:
        number = self._names[name]
        self.place = (f"{name} #{number}" if number > 1 else name, side)
        raise PowerLoss


class Testbed:
    """A vehicle under test: the rules, the journal and the step runner around one installer, in ``folder``.

    ``thorough`` loses the power before and after every write, otherwise at a sample of them, in a third of the time.
    """

    __test__ = False  # by its name alone pytest would take it for a test

    def __init__(self, folder: Path, subject: Subject, *, thorough: bool = True) -> None:
        self.thorough = thorough
        self.folder = folder / "testbed"
        self.subject = subject
        self.index = 0
        self.lost = False
        """Whether the power was lost during the last call of :meth:`carry_out`."""
        self.trials: list[Trial] = []
        """All losses and their results."""
        self._loss, self._place = Loss.POWER, ("", "")
        self.installer = subject.installer()

    def has(self, capability: Capability) -> bool:
        """Report whether the installer has a capability."""
        return capability in self.installer.capabilities

    def need_fault(self, fault: Fault) -> None:
        """End the case if the subject's packages cannot have this fault."""
        if fault not in self.subject.faults:
            raise NotApplicable(f"a package of {self.installer.name} cannot be {fault}")

    async def install(self, version: str, fault: Fault = Fault.NONE) -> InstallReport:
        """Install a version without a loss, and return the report."""
        await self.offer(version, Command.INSTALL, self.subject.build(version, fault))
        return await self.carry_out()

    async def remove(self, version: str) -> InstallReport:
        """Remove a version, and return the report."""
        await self.offer(version, Command.REMOVE, None)
        return await self.carry_out()

    async def offer(
        self,
        version: str,
        command: Command,
        file: Path | None,
        installer: str = "",
        *,
        allow_downgrade: bool = False,
    ) -> None:
        """Add a download whose file has arrived, for the subject's installer or another one."""
        self.index += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        content = await asyncio.to_thread(file.read_bytes) if file else b""
        package = PackageId(name=self.subject.name, version=version)
        sha256 = hashlib.sha256(content).hexdigest()
        download = Download(download_index=self.index, package=package, size=len(content), sha256=sha256)
        update = UpdateAvailable(
            update_id=str(new_id()), epoch=EPOCH, downloads=[download], description="", request_confirmation=False
        )
        start = StartDownload(
            download_index=self.index,
            update_id=update.update_id,
            epoch=EPOCH,
            package=package,
            size=len(content),
            block_size=1 << 20,
            block_count=-(-len(content) // (1 << 20)),
            sha256=download.sha256,
            sha1="0" * 40,
            installer=installer or self.installer.name,
            command=command,
            allow_downgrade=allow_downgrade,
        )
        journal = Journal(self.folder)
        await journal.database.open()
        await journal.accept(update)
        await journal.move(self.index, State.READY, start=start)
        await journal.database.close()
        if file is not None:
            shutil.copy(file, self._file)

    async def carry_out(
        self, *, lose_at: float = 0, kill_after_s: float | None = None, loss: Loss = Loss.POWER
    ) -> InstallReport:
        """Install or remove what was offered; lose the power once where the caller says, and start again."""
        self._loss = loss
        async with asyncio.timeout(CASE_TIMEOUT_S):
            booting = asyncio.create_task(self._boot_when_asked())
            try:
                self.lost = False
                report = await self._run(lose_at, kill_after_s)
                if report is None:
                    self.lost = True
                    report = await self._run(0, None)
                if report is None:
                    raise ContractBroken("the power was lost only once, and there is no report")
                return report
            finally:
                booting.cancel()

    @contextlib.contextmanager
    def judging(self, way: str, moment: str = "") -> Iterator[None]:
        """Record the result of the last loss: right, unless an assertion of the body fails.

        The place is that of the write, or a ``moment`` during the step. Without a loss nothing is recorded.
        """
        write, side = (moment, "during") if moment else self._place
        right = False
        try:
            yield
            right = True
        except AssertionError as broken:
            raise ContractBroken(f"loss of {self._loss} {side} {write}: {broken}") from broken
        finally:
            if self.lost or not right:
                self.trials.append(Trial(self._loss, way, write, side, right))

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.index}.package"

    async def _run(self, lose_at: float, kill_after_s: float | None) -> InstallReport | None:
        """Run the Software Loading Manager's part once; return None if the power was lost before the end."""
        subject = self.subject
        self.installer = installer = subject.installer()
        journal = Journal(self.folder, database=_Interrupted)
        database = cast(_Interrupted, journal.database)
        settings = SlmSettings(
            vin=VIN,
            data=self.folder,
            keys=self.folder / "keys",
            health_check=tuple(subject.health_check),
            lock_timeout_s=LOCK_TIMEOUT_S,
            boot_id_file=subject.boot_id_file,
            boot_timeout_s=BOOT_TIMEOUT_S,
        )
        runner = StepRunner(self.folder / "steps", timeout_s=STEP_TIMEOUT_S, output_limit=16_384)
        running = RunningTime(database, subject.boot_id_file)
        boot = Boot(settings, running)
        preconditions = Preconditions(settings, journal, running)
        installation = Installation(settings, journal, [installer], runner, boot, preconditions, pause_s=PAUSE_S)
        installation.prepare()
        going_on = False
        await journal.database.open()
        database.lose_at = lose_at
        try:
            entry = await journal.download(self.index)
            if entry is None:
                raise ContractBroken("the journal has lost the download")
            if not entry.state.is_final:
                working = asyncio.create_task(installation.install(entry, self._file))
                await self._watch(working, kill_after_s)
            return next(each for each in await journal.unreported() if each.download_index == self.index)
        except PowerLoss:
            if database.place is not None:
                self._place = database.place
            going_on = self._loss is Loss.PROGRAM
            return None
        finally:
            await journal.database.close()
            if not going_on:
                self._end_processes()

    async def _watch(self, working: asyncio.Task[None], kill_after_s: float | None) -> None:
        """Wait for the work; with ``kill_after_s``, lose the power that long after the first process started."""
        if kill_after_s is None:
            await working
            return
        while not working.done() and not self._pids():  # noqa: ASYNC110 - a separate process sends no event
            await asyncio.sleep(0.001)
        await asyncio.wait([working], timeout=kill_after_s)
        if working.done():
            working.result()
            return
        if self._loss is Loss.POWER:
            self._end_processes()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        raise PowerLoss

    def _pids(self) -> list[int]:
        found = []
        for path in self.folder.glob("steps/*.pid"):
            with contextlib.suppress(OSError, ValueError):
                found.append(int(path.read_text()))
        return found

    def _end_processes(self) -> None:
        """Kill what the step left running, all at once, as a loss of power does."""
        for pid in self._pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}").exists() and os.getsid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)

    async def _boot_when_asked(self) -> None:
        """Boot the vehicle whenever an installation waits for a boot."""
        booted: set[int] = set()
        while Capability.NEEDS_BOOT in self.installer.capabilities:
            await asyncio.sleep(0.05)
            journal = Journal(self.folder)
            await journal.database.open()
            try:
                _, opened = await journal.steps(self.index)
            finally:
                await journal.database.close()
            if opened is not None and opened.step == "boot" and opened.number not in booted:
                booted.add(opened.number)
                self.subject.boot()
