"""Finds installers by name: files in this folder, and modules that were installed with the vehicle.

Each is wrapped, so that what the operating system refuses it is :class:`InstallerFailed`: a read-only disk, a missing
folder or a failing device must end in a report with a reason. An uncaught ``OSError`` would be an error of the program
itself, which is retried indefinitely.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from sota.boundaries.values import InstalledPackage
from sota.kit.errors import StartError
from sota.slm.installers import Command, Installer, InstallerFailed, Place, Shared
from sota.slm.model import Found, Job, OtherPackages, Step
from sota.slm.versions import Comparing, is_newer

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
BESIDE = "sota.slm.installers"


def load(name: str, place: Place) -> Installer:
    """Return an installer by its name: a file in this folder, or an installed module ``sota_installer_<name>``.

    Its ``OSError`` is an :class:`InstallerFailed` (:class:`Guarded`).

    Raises:
        StartError: there is none, or its options are invalid.
    """
    if not NAME.fullmatch(name):
        raise StartError(f"slm: {name!r} is not the name of an installer: lower-case letters, digits and _")
    for module in (f"{BESIDE}.{name}", f"sota_installer_{name}"):
        try:
            make = importlib.import_module(module).make
        except ModuleNotFoundError as error:
            if error.name != module:
                raise StartError(f"slm: installer {name!r} needs the module {error.name!r}") from None
        except AttributeError:
            raise StartError(f"slm: {module} has no function make(place)") from None
        else:
            return Guarded(make(place))
    raise StartError(f"slm: there is no installer {name!r}")


class Guarded:
    """An installer whose every ``OSError`` is an :class:`InstallerFailed` with what it was doing."""

    def __init__(self, installer: Installer) -> None:
        self._installer = installer
        self.name = installer.name
        self.capabilities = installer.capabilities

    def prepare(self) -> None:
        """See :class:`Installer`."""
        with self._doing("prepare its folders"):
            self._installer.prepare()

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """See :class:`Installer`."""
        with self._doing(f"inspect {name} {version}"):
            await self._installer.inspect(file, name, version)

    async def find(self, name: str) -> Found:
        """See :class:`Installer`."""
        with self._doing(f"look {name} up"):
            return await self._installer.find(name)

    async def list(self) -> list[InstalledPackage]:
        """See :class:`Installer`."""
        with self._doing("list what is installed"):
            return await self._installer.list()

    async def save(self, name: str, file: Path) -> None:
        """See :class:`Installer`."""
        with self._doing(f"copy {name}"):
            await self._installer.save(name, file)

    async def wait_until_free(self, timeout_s: float) -> None:
        """See :class:`Installer`."""
        with self._doing("find out whether its database is free"):
            await self._installer.wait_until_free(timeout_s)

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """See :class:`Installer`."""
        with self._doing(f"{step} {job.name}"):
            return self._installer.command(step, job, file, previous_file)

    async def record(self, name: str, file: Path | None, folder: Path) -> None:
        """See :class:`Shared`; without it nothing is recorded."""
        if isinstance(self._installer, Shared):
            with self._doing("record how all packages stand"):
                await self._installer.record(name, file, folder)

    async def compare(self, name: str, folder: Path, later: Collection[str]) -> OtherPackages:
        """See :class:`Shared`."""
        with self._doing("compare all packages"):
            if isinstance(self._installer, Shared):
                return await self._installer.compare(name, folder, later)
            return OtherPackages()

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Compare versions by the installer's own rules, or by their numbers if it has none."""
        with self._doing(f"compare {installed} with {wanted}"):
            if isinstance(self._installer, Comparing):
                return await self._installer.is_newer(installed, wanted)
            return is_newer(installed, wanted)

    @contextlib.contextmanager
    def _doing(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InstallerFailed(f"Installer {self.name!r} cannot {doing}: {error}.") from error
