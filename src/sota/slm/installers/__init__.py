"""Installers: how one kind of package gets into the vehicle, one file each, found by its name.

An installer knows three things: what a file says that it is (:meth:`Installer.inspect`), what its own database says
of a package (:meth:`Installer.find`), and the command that carries out a step (:meth:`Installer.command`). When steps
are done, in what order, and what is done after a failure or power loss is the same for all of them and is in
``slm/model.py``. Each file has one function ``make(place)``; ``docs/how-to/write-an-installer.md`` shows
how to write one, and ``slm/contract`` is the suite that each must pass.
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
from typing import Any, Protocol, TypeVar, runtime_checkable

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
    """What an installer can do beyond installing."""

    NONE = 0
    REMOVE = auto()
    RESTORE = auto()
    """It can bring back the version that was there before, from the file kept of it."""
    LIST = auto()
    """It can tell everything that it has installed."""
    TWO_SLOTS = auto()
    """What was there before stays in another place: going back needs no file."""
    NEEDS_BOOT = auto()
    """What was installed runs after the next boot of the vehicle."""
    VERIFIES = auto()
    """It checks a signature of its own inside the file, beside the one over the package."""


class BadPackage(SotaError):
    """The file is not what it should be: another package or version, or no package at all."""

    code, status, title = "bad_package", 400, "Bad Package"


class Unsafe(BadPackage):
    """The file is in order, and cannot be installed here without touching what is not the vehicle's."""


class InstallerFailed(SotaError):
    """The installer's own tools fail: its database cannot be read."""

    code, status, title = "installer_failed", 500, "Installer Failed"


@dataclass(frozen=True, slots=True)
class Command:
    """A step's command line and environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an installer works: the vehicle's root folder, a folder for its own state, the vehicle's options for it.

    ``lock_timeout_s`` is how long a step waits for another process that works with the installer's database.
    """

    root: Path
    data: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    lock_timeout_s: float = 600.0

    def read_options(self, kind: type[Options], name: str) -> Options:
        """Read the options, strictly.

        Raises:
            StartError: an option that does not exist, or a value that does not fit.
        """
        try:
            return msgspec.convert(self.options, kind, dec_hook=_decode_path)
        except msgspec.ValidationError as error:
            raise StartError(f"slm: options of installer {name!r}: {error}") from None


class Installer(Protocol):
    """One kind of package. ``name`` is what an update says in ``installer``.

    ``capabilities`` may be wider than what is possible for one package; a step that is not possible is a command that
    says so and fails.
    """

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

        ``file`` is not used before this returns, and made durable by the caller.

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


@runtime_checkable
class Shared(Protocol):
    """What an installer also has whose packages change one another: one is installed, another is removed or breaks."""

    async def record(self, name: str, file: Path | None, folder: Path) -> None:
        """Write down how all packages stand before ``file`` (None: a removal), with what bringing them back needs.

        ``folder`` does not exist yet; afterwards it is whole and on the disk, and :attr:`Job.before` of the steps.

        Raises:
            InstallerFailed: what may be replaced could not be brought back.
        """
        ...

    async def compare(self, name: str, folder: Path, later: Collection[str]) -> OtherPackages:
        """Report what became of the others since; ``later`` are packages that the same update goes on to replace.

        Raises:
            InstallerFailed: the database cannot be read.
        """
        ...


async def ask(
    *arguments: str, environment: Mapping[str, str], timeout_s: float = QUERY_TIMEOUT_S, folder: Path | None = None
) -> tuple[int, str, str]:
    """Run a short command that changes nothing, in ``folder``; gives its exit code, output and (printable) errors.

    Raises:
        InstallerFailed: it cannot be started, says too much or does not end in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,  # so that it can be ended with all its children
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
    """End a command and all its children; what it still says is thrown away, for its end is told after that."""
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
            raise InstallerFailed(f"A query said more than {OUTPUT_LIMIT} bytes.")
        parts.append(part)
    return b"".join(parts)


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
