"""The whole system of a vehicle as an image of SWUpdate (.swu), written into the slot that does not run.

SWUpdate checks the image's own signature and hardware, and writes it. The vehicle's own commands, which know its boot
loader, report which slot runs and which one the next boot starts (``two_slots.py``).

Options::

    [slm.options.swupdate]
    package = "system"                    # the package that is the system
    key = "/etc/swupdate/trusted.pem"     # the key that signs images
    hardware = "board:1.0"
    booted = ["/usr/lib/vehicle/slot", "booted"]          # prints the slot that runs
    following = ["/usr/lib/vehicle/slot", "following"]    # prints the slot that the next boot starts
    activate = ["/usr/lib/vehicle/slot", "activate", "{slot}"]

    [slm.options.swupdate.slots]          # each slot's software set in an image
    a = "stable,a"
    b = "stable,b"

``program`` (``swupdate``), ``config`` (a file for its ``-f``) and ``factory_version`` (the version in a slot that was
never written) are optional.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import ForeignText, PackageName
from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import BadPackage, InstallerFailed, Place, ask
from sota.slm.installers.steps import Slot, wait_for_lock
from sota.slm.installers.swupdate_slots import CHECKING, INSTALLING, Setup, Slots, alone, says_success
from sota.slm.installers.two_slots import TwoSlotInstaller
from sota.slm.model import Found, Health

CHECK_TIMEOUT_S = 600.0
CommandLine = Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vehicle's options."""

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
    """Return the installer.

    Raises:
        StartError: ``activate`` has no placeholder for the slot's name.
    """
    options = place.read_options(Options, SwupdateInstaller.name)
    if not any("{slot}" in argument for argument in options.activate):
        raise StartError("slm: options of installer 'swupdate': activate needs {slot} among its arguments")
    return SwupdateInstaller(place.data, options)


class SwupdateInstaller(TwoSlotInstaller):
    """The vehicle's system, in two slots."""

    name = "swupdate"

    def __init__(self, data: Path, options: Options) -> None:
        self._options = options
        self._data = data
        program = [options.program, "-k", str(options.key)]
        if options.hardware:
            program += ["-H", options.hardware]
        if options.config is not None:
            program += ["-f", str(options.config)]
        setup = Setup(tuple(program), options.slots, options.booted, options.following, options.activate)
        self._setup, self._slots = setup, Slots(data, setup)
        arguments = (str(data), msgspec.json.encode(setup).decode())
        super().__init__(options.package, options.factory_version, "sota.slm.installers.swupdate_slots", *arguments)

    def prepare(self) -> None:
        """Create the folder of the record, and those of SWUpdate."""
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
            errors_found = [line for line in f"{output}\n{errors}".splitlines() if "ERROR" in line]
            raise BadPackage(f"The image was refused: {' '.join(errors_found)[:1000] or f'exit code {code}'}")

    async def find(self, name: str) -> Found:
        """Ask the vehicle which slot runs and which one the next boot starts; the record has their versions."""
        if name != self._options.package:
            return Found(Health.ABSENT)
        booted, following = await self._which(self._options.booted), await self._which(self._options.following)
        try:
            known = self._slots.read()
        except (OSError, msgspec.DecodeError) as error:
            raise InstallerFailed(f"The record of the slots cannot be read: {error}.") from None
        waiting = None if following == booted else self._version(known.get(following)) or ""
        confirmed = booted not in known or known[booted].confirmed
        return self._found(self._version(known.get(booted)), confirmed=confirmed, waiting=waiting)

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no step works on the slots: a step may have lost its shell and continue."""
        await wait_for_lock(self._data, timeout_s)

    async def _which(self, command: CommandLine) -> str:
        code, output, errors = await ask(*command, environment=ENVIRONMENT)
        if code != 0 or output.strip() not in self._options.slots:
            raise InstallerFailed(f"{command[0]} does not print a slot: {errors or output[:200]!r}")
        return output.strip()

    def _version(self, slot: Slot | None) -> str | None:
        return slot.version if slot is not None else self._options.factory_version
