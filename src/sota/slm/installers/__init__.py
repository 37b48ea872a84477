"""Installers: how one kind of package is installed, one file each, found by its name.

An installer provides three things: what a file is (:meth:`Installer.inspect`), what its own database says about a
package (:meth:`Installer.find`), and the command that carries out a step (:meth:`Installer.command`). When steps run,
in what order, and what follows a failure or a loss of power is the same for all installers (``slm/model.py``). Each
file has one function ``make(place)``. ``docs/how-to/write-an-installer.md`` shows how to write one;
``slm/contract`` is the suite that each must pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from sota.boundaries.values import InstalledPackage
from sota.kit.errors import SotaError, StartError
from sota.slm.model import Found, Job, OtherPackages, Step
from sota.slm.step_output import printable

QUERY_TIMEOUT_S = 30.0
OUTPUT_LIMIT = 8 << 20
END_TIMEOUT_S = 5.0

Options = TypeVar("Options", bound=msgspec.Struct)


class Capability(Flag):
    """What an installer can do in addition to installing."""

    NONE = 0
    REMOVE = auto()
    RESTORE = auto()
    """It can restore the previous version from its backup file."""
    LIST = auto()
    """It can list everything that it has installed."""
    TWO_SLOTS = auto()
    """The previous version stays in the other slot: restoring it needs no file."""
    NEEDS_BOOT = auto()
    """A new version starts at the next boot of the vehicle."""
    VERIFIES = auto()
    """It checks a signature of its own inside the file, in addition to the package's."""


class BadPackage(SotaError):
    """The file is another package or version, or not a package at all."""

    code, status, title = "bad_package", 400, "Bad Package"


class Unsafe(BadPackage):
    """The file is valid, but installing it here would change files outside the vehicle."""


class InstallerFailed(SotaError):
    """The installer's own tools fail, for example because its database cannot be read."""

    code, status, title = "installer_failed", 500, "Installer Failed"


@dataclass(frozen=True, slots=True)
class Command:
    """A step's command line and environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an installer works: the vehicle's root, a folder for the installer's own state, and its options.

    ``lock_timeout_s`` is how long a step waits for another process that works with the installer's database.
    """

    root: Path
    data: Path
    options: Mapping[str, object] = field(default_factory=dict)
    lock_timeout_s: float = 600.0

    def read_options(self, kind: type[Options], name: str) -> Options:
        """Return the options, strictly checked.

        Raises:
            StartError: an option does not exist, or has an invalid value.
        """
        try:
            return msgspec.convert(self.options, kind, dec_hook=_decode_path)
        except msgspec.ValidationError as error:
            raise StartError(f"slm: options of installer {name!r}: {error}") from None


class Installer(Protocol):
    """One kind of package. ``name`` is the value of ``installer`` in an update.

    A package may support less than ``capabilities``: an unsupported step is a command that fails with the reason. A
    subclass inherits :meth:`save`, which refuses.
    """

    name: str
    capabilities: Capability

    def prepare(self) -> None:
        """Create the installer's folders and database, if they are missing."""

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Check that the file is this package.

        Raises:
            BadPackage: it is not.
        """

    async def find(self, name: str) -> Found:
        """Return the state of a package in the installer's database.

        Raises:
            InstallerFailed: the database cannot be read.
        """

    async def list(self) -> list[InstalledPackage]:
        """Return everything that is installed.

        Raises:
            InstallerFailed: the database cannot be read.
        """

    async def save(self, name: str, file: Path) -> None:
        """Write a backup of what is installed now to ``file``; only installers with ``RESTORE`` need it.

        The caller makes the file durable, and does not use it before this returns.

        Raises:
            InstallerFailed: the backup cannot be made.
        """
        raise InstallerFailed(f"{name} needs no backup file.")

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no other process uses the installer's database.

        Raises:
            InstallerFailed: it does not become free in time.
        """

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Return the command that carries out a step."""


@runtime_checkable
class Shared(Protocol):
    """What an installer also provides if installing one package can remove or break another."""

    async def record(self, name: str, file: Path | None, folder: Path) -> None:
        """Record the state of all packages before ``file`` (None: a removal), with what restoring them needs.

        ``folder`` does not exist yet. Afterwards it is complete and on the disk, and :attr:`Job.before` of the steps.

        Raises:
            InstallerFailed: a package that may be replaced could not be restored.
        """

    async def compare(self, name: str, folder: Path, later: Collection[str]) -> OtherPackages:
        """Return what happened to the others since; ``later`` are packages that the same update replaces later.

        Raises:
            InstallerFailed: the database cannot be read.
        """


async def ask(
    *arguments: str, environment: Mapping[str, str], timeout_s: float = QUERY_TIMEOUT_S, folder: Path | None = None
) -> tuple[int, str, str]:
    """Run a short read-only command in ``folder``; return its exit code, output and (printable) errors.

    Raises:
        InstallerFailed: it cannot be started, prints too much or does not end in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,  # so that it can be killed with all its children
        )
    except OSError as error:
        raise InstallerFailed(f"{arguments[0]} cannot be started: {error.strerror}.") from None
    reading = [asyncio.create_task(_read(stream)) for stream in (process.stdout, process.stderr)]
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await asyncio.gather(*reading)
            code = await process.wait()
    except TimeoutError:
        raise InstallerFailed(f"{arguments[0]} did not answer within {timeout_s:g} s.") from None
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        if process.returncode is None:
            await _end(process)
    return code, output.decode(errors="replace"), printable(errors)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a command and all its children, and read the rest of its output: its end is reported only after that."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            for stream in (process.stdout, process.stderr):
                while stream is not None and await stream.read(1 << 16):
                    pass
            await process.wait()


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    parts, size = [], 0
    while stream is not None and (part := await stream.read(1 << 16)):
        size += len(part)
        if size > OUTPUT_LIMIT:
            raise InstallerFailed(f"A query printed more than {OUTPUT_LIMIT} bytes.")
        parts.append(part)
    return b"".join(parts)


def _decode_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
