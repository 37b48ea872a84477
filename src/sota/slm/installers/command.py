"""Units that only a program of their maker can flash, by command lines in the vehicle's own configuration.

A package does not define commands. The vehicle lists its units, each with its packages and command lines. ``{file}``,
``{name}``, ``{version}``, ``{previous_file}`` and ``{previous_version}`` are replaced there, as (part of) one argument
and never through a shell::

    [slm.options.command.units.gateway]
    packages = ["gateway-firmware"]
    query = ["/usr/lib/vehicle/gateway", "version"]
    install = ["/usr/lib/vehicle/gateway", "flash", "{file}"]

``query`` prints the running version, or nothing if there is none; an exit code other than 0 means that it is unknown.
``install`` also restores the previous version from its backup. ``remove`` is optional. Every command is stopped after
``install_timeout_s``, and its output is reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import ForeignText, InstalledPackage, PackageName
from sota.kit.errors import StartError
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import BadPackage, Capability, Command, InstallerFailed, Place, ask
from sota.slm.installers.steps import refuse
from sota.slm.model import Found, Health, Job, Step

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
KNOWN = frozenset({"file", "name", "version", "previous_file", "previous_version"})

CommandLine = Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One unit of the vehicle and its command lines."""

    packages: Annotated[tuple[PackageName, ...], Meta(min_length=1)]
    query: CommandLine
    install: CommandLine
    remove: tuple[str, ...] = ()


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vehicle's units by name."""

    units: Mapping[str, Unit]


def make(place: Place) -> CommandInstaller:
    """Return the installer.

    Raises:
        StartError: a package belongs to two units, or a command line has an unknown placeholder.
    """
    options = place.read_options(Options, CommandInstaller.name)
    for name, unit in options.units.items():
        _check(name, unit)
    packages = [package for unit in options.units.values() for package in unit.packages]
    twice = sorted({package for package in packages if packages.count(package) > 1})
    if twice:
        raise StartError(f"slm: options of installer 'command': {', '.join(twice)} belongs to two units")
    return CommandInstaller(options)


class CommandInstaller:
    """The units' own command lines."""

    name = "command"
    capabilities = Capability.REMOVE | Capability.RESTORE | Capability.LIST

    def __init__(self, options: Options) -> None:
        self._units = {package: unit for unit in options.units.values() for package in unit.packages}

    def prepare(self) -> None:
        """Do nothing: units have no folders."""

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Check that a unit takes this package; only the unit's program knows the file's content."""
        if name not in self._units:
            raise BadPackage(f"No unit of this vehicle takes {name}.")

    async def find(self, name: str) -> Found:
        """Return the state that the unit's program reports."""
        unit = self._units.get(name)
        if unit is None:
            return Found(Health.ABSENT)
        code, output, errors = await ask(*_fill(unit.query, {"name": name}), environment=ENVIRONMENT)
        if code != 0:
            raise InstallerFailed(f"{unit.query[0]} does not report which {name} runs: {errors or output[:200]}")
        if not output.strip():
            return Found(Health.ABSENT)
        try:
            return Found(Health.INSTALLED, msgspec.convert(output.strip(), ForeignText))
        except msgspec.ValidationError:
            raise InstallerFailed(f"{unit.query[0]} prints no version of {name}: {output[:200]!r}") from None

    async def list(self) -> list[InstalledPackage]:
        """Return what every unit's program reports."""
        found = [(name, (await self.find(name)).running_version) for name in sorted(self._units)]
        return [InstalledPackage(name=name, version=version) for name, version in found if version]

    async def save(self, name: str, file: Path) -> None:
        """Refuse: a unit's software cannot be read back."""
        raise InstallerFailed(f"There is no backup of the {name} that runs now.")

    async def wait_until_free(self, timeout_s: float) -> None:
        """Do nothing: a unit's program itself ensures that it runs only once."""

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Return the unit's command line for a step."""
        unit = self._units.get(job.name)
        values = {"name": job.name, "version": job.version, "file": str(file)}
        if job.previous_version is not None and previous_file is not None:
            values |= {"previous_version": job.previous_version, "previous_file": str(previous_file)}
        if step is Step.RESTORE:
            values |= {"version": values.get("previous_version", ""), "file": values.get("previous_file", "")}
        line = () if unit is None else unit.remove if step in {Step.REMOVE, Step.DISCARD} else unit.install
        if not line:
            return refuse(f"this vehicle has no command to {step} {job.name}")
        return Command(_fill(line, values), ENVIRONMENT)


def _fill(line: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(PLACEHOLDER.sub(lambda found: values.get(found.group(1), ""), argument) for argument in line)


def _check(name: str, unit: Unit) -> None:
    for what, line, known in (
        ("query", unit.query, {"name"}),
        ("install", unit.install, KNOWN),
        ("remove", unit.remove, {"name", "version"}),
    ):
        strange = sorted(set(PLACEHOLDER.findall(" ".join(line))) - known)
        if strange:
            raise StartError(
                f"slm: options of installer 'command': {what} of unit {name!r} has {{{strange[0]}}}, "
                f"and may have {', '.join(f'{{{each}}}' for each in sorted(known))}"
            )
