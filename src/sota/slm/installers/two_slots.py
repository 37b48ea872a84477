"""The whole system of a vehicle in two slots: what the installers ``rauc`` and ``swupdate`` share.

A new system is written into the slot that does not run and started by the next boot. It is confirmed only after its
health check; until then a rollback is a boot from the other slot.
"""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.values import InstalledPackage
from sota.slm.installers import Capability, Command, Installer
from sota.slm.installers.steps import refuse, run_module
from sota.slm.model import Found, Health, Job, Step
from sota.slm.versions import is_newer


class TwoSlotInstaller(Installer):
    """The package that is the vehicle's system. ``factory_version`` is what runs in a slot that was never written.

    The other slot is the backup.
    """

    capabilities = Capability.LIST | Capability.TWO_SLOTS | Capability.NEEDS_BOOT | Capability.VERIFIES

    def __init__(self, package: str, factory_version: str | None, module: str, *arguments: str) -> None:
        """``module`` with ``arguments`` is the program that carries out steps."""
        self._package, self._factory_version = package, factory_version
        self._program = (module, *arguments)

    async def list(self) -> list[InstalledPackage]:
        """Return the system, if its version is known."""
        version = (await self.find(self._package)).running_version
        return [InstalledPackage(name=self._package, version=version)] if version else []

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Compare versions by their numbers; the factory's version is the oldest, whatever its name."""
        newer = is_newer(installed, wanted)
        return False if newer is None and installed == self._factory_version else newer

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Return the step's command: a module of this package, in a process that outlives the program."""
        if step in {Step.INSTALL, Step.REINSTALL, Step.REPAIR}:
            return run_module(*self._program, "install", str(file), job.version)
        if step is Step.CONFIRM:
            return run_module(*self._program, "confirm")
        if step in {Step.RESTORE, Step.DISCARD}:
            factory = job.previous_version in {None, self._factory_version}
            return run_module(*self._program, "restore", "" if factory else job.previous_version or "")
        return refuse(f"the installer {self.name} has no command to {step} {job.name}")

    def _found(self, version: str | None, *, confirmed: bool, waiting: str | None) -> Found:
        """Return the state of the system; ``waiting`` is the version that the next boot starts, if it is another."""
        if version is None:
            return Found(Health.ABSENT, next_version=waiting)
        return Found(Health.INSTALLED if confirmed else Health.UNCONFIRMED, version, waiting)
