"""An installer that installs nothing: it takes its time, and succeeds or fails as the profile says.

It replaces every installer, so that any package may be rehearsed. The "installed" versions are in a file, like a real
installer's database. A step that is interrupted leaves the earlier version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from sota.boundaries.values import InstalledPackage
from sota.fleet.profile import SeededOutcomes
from sota.kit.files.disk import Disk
from sota.kit.files.durable import sync_file, sync_folder
from sota.slm.installers import Capability, Command
from sota.slm.model import Found, Health, Job, Step
from sota.slm.step_runner import StepResult, StepRunner

STANDS_FOR = ("deb", "archive", "command", "rauc", "swupdate")
SAID = "simulated: nothing was changed in any vehicle"


class SimulatedSoftware:
    """The installed software of a simulated vehicle: a file of names and versions."""

    def __init__(self, file: Path, at_first: Mapping[str, str], disk: Disk) -> None:
        self._file, self._at_first, self._disk = file, dict(at_first), disk
        self._known: dict[str, str] | None = None

    @property
    def packages(self) -> dict[str, str]:
        """Name to version."""
        if self._known is None:
            exists = self._file.exists()
            self._known = (
                msgspec.json.decode(self._file.read_bytes(), type=dict[str, str]) if exists else self._at_first
            )
        return self._known

    async def put(self, name: str, version: str | None) -> None:
        """Store a version as installed, or the package as removed."""
        packages = {**self.packages}
        if version is None:
            packages.pop(name, None)
        else:
            packages[name] = version
        new, folder = self._file.with_suffix(".new"), self._file.parent
        await self._disk.write(lambda: new.write_bytes(msgspec.json.encode(packages)), lambda: sync_file(new))
        await self._disk.write(lambda: new.replace(self._file), lambda: sync_folder(folder))
        self._known = packages


class SimulatedInstaller:
    """Replaces the installer ``name``."""

    capabilities = Capability.REMOVE | Capability.LIST

    def __init__(self, name: str, software: SimulatedSoftware) -> None:
        self.name = name
        self._software = software

    def prepare(self) -> None:
        """Do nothing: no tool is needed."""

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Accept every file as what its update says."""

    async def find(self, name: str) -> Found:
        """Look the package up in the vehicle's file of versions."""
        version = self._software.packages.get(name)
        return Found(Health.ABSENT) if version is None else Found(Health.INSTALLED, version)

    async def list(self) -> list[InstalledPackage]:
        """Return the vehicle's file of versions, from the first installer only."""
        if self.name != STANDS_FOR[0]:
            return []
        return [InstalledPackage(name=name, version=version) for name, version in self._software.packages.items()]

    async def save(self, name: str, file: Path) -> None:
        """Do nothing: a failed step has changed nothing."""

    async def wait_until_free(self, timeout_s: float) -> None:
        """Return at once: no other installer runs here."""

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Return a command for the simulated runner."""
        version = job.previous_version if step is Step.RESTORE else job.version
        removes = step in {Step.REMOVE, Step.DISCARD}
        return Command(("simulate", str(step), job.name, "" if removes else version or ""), {})


class SimulatedRunner(StepRunner):
    """Runs the commands of :class:`SimulatedInstaller` in this process, with which they end."""

    def __init__(
        self, folder: Path, software: SimulatedSoftware, outcomes: SeededOutcomes, on_step: Callable[[], None]
    ) -> None:
        super().__init__(folder, timeout_s=86_400.0, output_limit=1024)
        self._software, self._outcomes, self._on_step = software, outcomes, on_step
        self._steps: dict[str, asyncio.Task[StepResult]] = {}

    def start(self, key: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a step."""
        _, step, name, version = command
        self._on_step()
        self._steps[key] = asyncio.create_task(self._carry_out(step, name, version), name=f"step:{key}")

    async def wait(self, key: str) -> StepResult:
        """Wait for a step's end; the result of an earlier process's step is unknown."""
        step = self._steps.get(key)
        return StepResult(None, "") if step is None else await asyncio.shield(step)

    def runs(self, key: str) -> bool:
        """Report whether a step is running."""
        return key in self._steps and not self._steps[key].done()

    def forget(self, key: str) -> None:
        """Remove a step that has ended."""
        self._steps.pop(key, None)

    def stop(self) -> None:
        """Cancel all steps, like a loss of power."""
        for step in self._steps.values():
            step.cancel()
        self._steps.clear()

    async def _carry_out(self, step: str, name: str, version: str) -> StepResult:
        package = f"{name}/{version}"
        await asyncio.sleep(self._outcomes.installation_s(package))
        if step != Step.RESTORE and version and self._outcomes.fails(package):
            return StepResult(1, f"{SAID}; this installation fails, as the fleet's profile wants it")
        await self._software.put(name, version or None)
        return StepResult(0, SAID)
