"""Archives (tar, also gzip, bzip2 or xz) unpacked into one of two places and switched to by one rename.

For applications and data that no package manager knows. Both versions lie side by side: what runs is untouched until
the new one is wholly on disk, it runs on trial until the health check has passed, and going back is one rename again.
A program finds its files below ``<folder>/<name>/current/``.

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
from sota.slm.installers import BadPackage, Capability, Command, InstallerFailed, Place, Unsafe, ask
from sota.slm.installers.archive_slots import Slots
from sota.slm.installers.steps import refuse, run_module, wait_for_lock
from sota.slm.model import Found, Health, Job, Step

LOOK_TIMEOUT_S = 600.0
STEPS = "sota.slm.installers.archive_slots"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a vehicle can say about its archives."""

    folder: Path = Path("opt/archives")
    max_bytes: Annotated[int, Meta(ge=1)] = 4 << 30
    max_files: Annotated[int, Meta(ge=1)] = 100_000


def make(place: Place) -> ArchiveInstaller:
    """Make the installer."""
    return ArchiveInstaller(place.root, place.read_options(Options, ArchiveInstaller.name))


class ArchiveInstaller:
    """Two places for each package below one folder."""

    name = "archive"
    capabilities = Capability.REMOVE | Capability.LIST | Capability.TWO_SLOTS

    def __init__(self, root: Path, options: Options) -> None:
        self._options = options
        self._root = root
        self._folder = root / options.folder

    def prepare(self) -> None:
        """Make the folder."""
        shared_folder(self._folder)

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Go through the whole archive without unpacking it. Which package it is, only its signature says."""
        if name.startswith("."):
            raise BadPackage(f"{name!r} cannot be the name of an archive's folder.")
        if why := self._why_not(name):
            raise Unsafe(why)
        limits = (str(self._options.max_bytes), str(self._options.max_files))
        look = run_module(STEPS, "look", str(file), *limits)
        code, _, errors = await ask(*look.arguments, environment=look.environment, timeout_s=LOOK_TIMEOUT_S)
        if code != 0:
            raise BadPackage(f"The archive was not taken: {errors}")

    async def find(self, name: str) -> Found:
        """Look where the link points to."""
        slots = Slots(self._folder / name)
        used = slots.current()
        if used is None:
            return Found(Health.ABSENT)
        slot = slots.read(used)
        if slot is None:
            return Found(Health.BROKEN)
        return Found(Health.INSTALLED if slot.confirmed else Health.UNCONFIRMED, slot.version)

    async def list(self) -> list[InstalledPackage]:
        """Look at each folder."""
        try:
            names = sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir())
        except OSError as error:
            raise InstallerFailed(f"{self._folder} cannot be read: {error.strerror}") from None
        found = [(name, (await self.find(name)).running_version) for name in names]
        return [InstalledPackage(name=name, version=version) for name, version in found if version]

    async def save(self, name: str, file: Path) -> None:
        """There is nothing to save: the other place has it."""
        raise InstallerFailed(f"{name} needs no file for going back.")

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no step works in the folder: one of ours may have lost its shell."""
        await wait_for_lock(self._folder / ".lock", timeout_s)

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Give the step's command: this program again, as a process of its own that outlives us."""
        if why := self._why_not(job.name):
            return refuse(why)
        limits = (str(self._options.max_bytes), str(self._options.max_files))
        install = ("install", str(self._folder), job.name, job.version, str(file), *limits)
        actions: dict[Step, Sequence[str]] = {
            Step.INSTALL: install,
            Step.REINSTALL: install,
            Step.REPAIR: install,
            Step.CONFIRM: ("confirm", str(self._folder), job.name, job.version),
            Step.RESTORE: ("restore", str(self._folder), job.name, job.previous_version or ""),
            Step.DISCARD: ("remove", str(self._folder), job.name),
            Step.REMOVE: ("remove", str(self._folder), job.name),
        }
        return run_module(STEPS, *actions[step])

    def _why_not(self, name: str) -> str:
        """Return why nothing may be written into a package's folder: a program of another package made it a link."""
        folder = self._folder / name
        return f"{folder} leads out of the vehicle's root." if leads_out(self._root, folder) else ""
