"""The whole system of a vehicle as an image of SWUpdate (.swu), written into the slot that does not run.

SWUpdate checks the image's own signature and the hardware it is for, and writes it. Which slot runs and which one the
next boot starts, the vehicle's own commands say (they know its boot loader). The new system is there to stay only
after the vehicle has booted and its health check has passed: until then going back is the other slot.

Options::

    [slm.options.swupdate]
    package = "system"                    # the package that is the system
    key = "/etc/swupdate/trusted.pem"     # what images are signed with
    hardware = "board:1.0"
    booted = ["/usr/lib/vehicle/slot", "booted"]          # prints the slot that runs
    following = ["/usr/lib/vehicle/slot", "following"]    # prints the slot that the next boot starts
    activate = ["/usr/lib/vehicle/slot", "activate", "{slot}"]

    [slm.options.swupdate.slots]          # each slot's software set in an image
    a = "stable,a"
    b = "stable,b"

``program`` (``swupdate``) and ``config`` (a file for its ``-f``) are optional, and so is ``factory_version``, what runs
in a slot that was never written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import ForeignText, InstalledPackage, PackageName
from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import BadPackage, Capability, Command, InstallerFailed, Place, ask
from sota.slm.installers.steps import refuse, run_module, wait_for_lock
from sota.slm.installers.swupdate_slots import CHECKING, INSTALLING, Setup, Slot, Slots, alone, says_success
from sota.slm.model import Found, Health, Job, Step
from sota.slm.versions import is_newer

CHECK_TIMEOUT_S = 600.0
CommandLine = Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a vehicle must say about SWUpdate and its slots."""

    key: Path
    booted: CommandLine
    following: CommandLine
    activate: CommandLine
    slots: Annotated[dict[str, str], Meta(min_length=2, max_length=2)]
    package: PackageName = "system"
    hardware: str = ""
    program: str = "swupdate"
    config: Path | None = None
    factory_version: ForeignText | None = None


def make(place: Place) -> SwupdateInstaller:
    """Make the installer.

    Raises:
        StartError: ``activate`` does not say where the slot's name goes.
    """
    options = place.read_options(Options, SwupdateInstaller.name)
    if not any("{slot}" in argument for argument in options.activate):
        raise StartError("slm: options of installer 'swupdate': activate needs {slot} among its arguments")
    return SwupdateInstaller(place.data, options)


class SwupdateInstaller:
    """The vehicle's system, in two slots."""

    name = "swupdate"
    capabilities = Capability.LIST | Capability.TWO_SLOTS | Capability.NEEDS_BOOT | Capability.VERIFIES

    def __init__(self, data: Path, options: Options) -> None:
        self._options = options
        self._data = data
        program = [options.program, "-k", str(options.key)]
        if options.hardware:
            program += ["-H", options.hardware]
        if options.config is not None:
            program += ["-f", str(options.config)]
        self._setup = Setup(tuple(program), options.slots, options.booted, options.following, options.activate)
        self._slots = Slots(data, self._setup)

    def prepare(self) -> None:
        """Make the folder of the record, and those of SWUpdate."""
        for folder in (self._data, self._data / CHECKING, self._data / INSTALLING):
            private_folder(folder)

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Let SWUpdate check signature, hardware and exact version, without writing anything."""
        if name != self._options.package:
            raise BadPackage(f"The system of this vehicle is {self._options.package}, not {name}.")
        exactly = ("-N", version, "--max-version", version)
        selection = next(iter(self._options.slots.values()))
        command = (*self._setup.program, "-c", "-i", str(file), "-e", selection, *exactly)
        code, output, errors = await ask(
            *command, environment=alone(ENVIRONMENT, CHECKING), timeout_s=CHECK_TIMEOUT_S, folder=self._data
        )
        if not says_success(output):
            told = [line for line in f"{output}\n{errors}".splitlines() if "ERROR" in line]
            raise BadPackage(f"The image was not taken: {' '.join(told)[:1000] or f'exit code {code}'}")

    async def find(self, name: str) -> Found:
        """Ask the vehicle which slot runs, and which one the next boot starts; the record says what they hold."""
        if name != self._options.package:
            return Found(Health.ABSENT)
        booted, following = await self._which(self._options.booted), await self._which(self._options.following)
        try:
            known = self._slots.read()
        except (OSError, msgspec.DecodeError) as error:
            raise InstallerFailed(f"The record of the slots cannot be read: {error}.") from None
        version = self._version(known.get(booted))
        waiting = None if following == booted else self._version(known.get(following)) or ""
        if version is None:
            return Found(Health.ABSENT, next_version=waiting)
        confirmed = booted not in known or known[booted].confirmed
        return Found(Health.INSTALLED if confirmed else Health.UNCONFIRMED, version, waiting)

    async def list(self) -> list[InstalledPackage]:
        """Give the system, where its version is known."""
        version = (await self.find(self._options.package)).running_version
        return [InstalledPackage(name=self._options.package, version=version)] if version else []

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Compare versions by their numbers; what the factory left, whatever its name is, is the oldest."""
        newer = is_newer(installed, wanted)
        return False if newer is None and installed == self._options.factory_version else newer

    async def save(self, name: str, file: Path) -> None:
        """There is nothing to save: the other slot has it."""
        raise InstallerFailed(f"{name} needs no file for going back.")

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no step works on the slots: one of ours may have lost its shell."""
        await wait_for_lock(self._data / ".lock", timeout_s)

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Give the step's command: this program again, as a process of its own that outlives us."""
        if step in {Step.INSTALL, Step.REINSTALL, Step.REPAIR}:
            action: tuple[str, ...] = ("install", str(file), job.version)
        elif step is Step.CONFIRM:
            action = ("confirm",)
        elif step in {Step.RESTORE, Step.DISCARD}:
            factory = job.previous_version == self._options.factory_version
            action = ("restore", "" if factory or job.previous_version is None else job.previous_version)
        else:
            return refuse(f"SWUpdate has no command to {step} {job.name}")
        setup = msgspec.json.encode(self._setup).decode()
        return run_module("sota.slm.installers.swupdate_slots", str(self._data), setup, *action)

    async def _which(self, command: CommandLine) -> str:
        code, output, errors = await ask(*command, environment=ENVIRONMENT)
        if code != 0 or output.strip() not in self._options.slots:
            raise InstallerFailed(f"{command[0]} does not tell a slot: {errors or output[:200]!r}")
        return output.strip()

    def _version(self, slot: Slot | None) -> str | None:
        return slot.version if slot is not None else self._options.factory_version
