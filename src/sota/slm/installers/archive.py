"""Archives (tar, also gzip, bzip2 or xz), unpacked into one of two slots and activated by one rename.

For applications and data without a package manager. Both versions exist side by side: the running one is unchanged
until the new one is completely on disk. The new one runs on trial until its health check has passed, and a rollback is
one rename again. A program finds its files below ``<folder>/<name>/current/``.

Options (``[slm.options.archive]``): ``folder`` (below the vehicle's root: ``opt/archives``), ``max_bytes`` and
``max_files`` of one unpacked archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import InstalledPackage
from sota.kit.files.durable import shared_folder
from sota.slm.confinement import leads_out
from sota.slm.installers import BadPackage, Capability, Command, Installer, InstallerFailed, Place, Unsafe, ask
from sota.slm.installers.archive_slots import Slots
from sota.slm.installers.steps import refuse, run_module, wait_for_lock
from sota.slm.model import Found, Health, Job, Step

LOOK_TIMEOUT_S = 600.0
STEPS = "sota.slm.installers.archive_slots"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vehicle's options."""

    folder: Path = Path("opt/archives")
    max_bytes: Annotated[int, Meta(ge=1)] = 4 << 30
    max_files: Annotated[int, Meta(ge=1)] = 100_000


def make(place: Place) -> ArchiveInstaller:
    """Return the installer."""
    return ArchiveInstaller(place.root, place.read_options(Options, ArchiveInstaller.name))


class ArchiveInstaller(Installer):
    """Two slots for each package below one folder; the other slot is the backup."""

    name = "archive"
    capabilities = Capability.REMOVE | Capability.LIST | Capability.TWO_SLOTS

    def __init__(self, root: Path, options: Options) -> None:
        self._root = root
        self._folder = root / options.folder
        self._limits = (str(options.max_bytes), str(options.max_files))

    def prepare(self) -> None:
        """Create the folder."""
        shared_folder(self._folder)

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Read the whole archive without unpacking it. Only its signature shows which package it is."""
        if name.startswith("."):
            raise BadPackage(f"{name!r} cannot be the name of an archive's folder.")
        if why := self._why_not(name):
            raise Unsafe(why)
        look = run_module(STEPS, "look", str(file), *self._limits)
        code, _, errors = await ask(*look.arguments, environment=look.environment, timeout_s=LOOK_TIMEOUT_S)
        if code != 0:
            raise BadPackage(f"The archive was refused: {errors}")

    async def find(self, name: str) -> Found:
        """Return the state of the slot that the link points to."""
        slots = Slots(self._folder / name)
        used = slots.current()
        if used is None:
            return Found(Health.ABSENT)
        slot = slots.read(used)
        if slot is None:
            return Found(Health.BROKEN)
        return Found(Health.INSTALLED if slot.confirmed else Health.UNCONFIRMED, slot.version)

    async def list(self) -> list[InstalledPackage]:
        """Return the running version of each folder."""
        try:
            names = sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir())
        except OSError as error:
            raise InstallerFailed(f"{self._folder} cannot be read: {error.strerror}") from None
        found = [(name, (await self.find(name)).running_version) for name in names]
        return [InstalledPackage(name=name, version=version) for name, version in found if version]

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no step works in the folder: a step may have lost its shell and continue."""
        await wait_for_lock(self._folder, timeout_s)

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Return the step's command: a module of this package, in a process that outlives the program."""
        if why := self._why_not(job.name):
            return refuse(why)
        install = ("install", job.version, str(file), *self._limits)
        actions: dict[Step, Sequence[str]] = {
            Step.INSTALL: install,
            Step.REINSTALL: install,
            Step.REPAIR: install,
            Step.CONFIRM: ("confirm", job.version),
            Step.RESTORE: ("restore", job.previous_version or ""),
            Step.DISCARD: ("remove",),
            Step.REMOVE: ("remove",),
        }
        action, *values = actions[step]
        return run_module(STEPS, action, str(self._folder), job.name, *values)

    def _why_not(self, name: str) -> str:
        """Return why a package's folder must not be written: another package's program may have made it a link."""
        folder = self._folder / name
        return f"{folder} leads out of the vehicle's root." if leads_out(self._root, folder) else ""
