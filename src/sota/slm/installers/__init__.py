"""Installers: how one kind of package gets into the vehicle.

An installer knows three things: what a file says that it is (:meth:`Installer.inspect`), what its own database says
of a package (:meth:`Installer.find`), and the command that carries out a step (:meth:`Installer.command`). When steps
are done, in what order, and what is done after a failure or power loss is the same for all of them and is in
``slm/model.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Protocol

from sota.boundaries.values import InstalledPackage
from sota.kit.errors import SotaError
from sota.slm.model import Found, Job, Step


class Capability(Flag):
    """What an installer can do beyond installing."""

    NONE = 0
    REMOVE = auto()
    RESTORE = auto()
    """It can bring back the version that was there before, from the file kept of it."""
    LIST = auto()
    """It can tell everything that it has installed."""


class BadPackage(SotaError):
    """The file is not what it should be: another package or version, or no package at all."""

    code, status, title = "bad_package", 400, "Bad Package"


class InstallerFailed(SotaError):
    """The installer's own tools fail: its database cannot be read."""

    code, status, title = "installer_failed", 500, "Installer Failed"


@dataclass(frozen=True, slots=True)
class Command:
    """A step's command line and environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Installer(Protocol):
    """One kind of package. ``name`` is what an update says in ``installer``."""

    name: str
    capabilities: Capability

    def prepare(self) -> None:
        """Make the installer's folders and database where there are none."""
        ...

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Check that the file is this package.

        Raises:
            BadPackage: it is not.
        """
        ...

    async def find(self, name: str) -> Found:
        """Say how a package stands in the installer's database.

        Raises:
            InstallerFailed: the database cannot be read.
        """
        ...

    async def list(self) -> list[InstalledPackage]:
        """Give everything that is installed.

        Raises:
            InstallerFailed: the database cannot be read.
        """
        ...

    async def save(self, name: str, file: Path) -> None:
        """Make the file for going back to what is installed now; asked only of installers with ``RESTORE``.

        Raises:
            InstallerFailed: it cannot be made.
        """
        ...

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until nobody else works with the installer's database.

        Raises:
            InstallerFailed: it does not become free.
        """
        ...

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Give the command that carries out a step."""
        ...
