"""What SWUpdate wrote into which of two slots, and the program that carries out a step with it.

SWUpdate writes images and keeps no record of them; the record is here, one file, so that a slot that was not wholly
written is never taken for one that was. ``python -m sota.slm.installers.swupdate_slots`` is the step's process.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from sota.kit.files.durable import write_atomic
from sota.kit.files.set_aside import set_aside
from sota.kit.runtime.logging import get_logger

WRITE_TIMEOUT_S = 24 * 3600.0
"""The step's own time-out, which is the vehicle's, comes first."""
ASK_TIMEOUT_S = 30.0
CHECKING, INSTALLING = "checking", "installing"
"""Folders beside the record, for SWUpdate's socket and temporary files."""
SUCCESS, FAILURE = "[INFO ] : SWUPDATE successful", "[ERROR] : SWUPDATE failed"


def says_success(output: str) -> bool:
    """Say whether SWUpdate did what it was asked.

    Its exit code does not tell: where one of its own processes ends before it is waited for, it is 1 after a success.
    Only the installing process knows, and its first word is it: whoever asked for it may lose its answer.
    """
    for line in output.splitlines():
        if line.startswith((SUCCESS, FAILURE)):
            return line.startswith(SUCCESS)
    return False


def alone(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """Give the environment of a SWUpdate that shares its control socket, and its temporary files, with no other one.

    By default it is a file in ``/tmp``, where a second one would talk to the first one's processes. ``folder`` is
    relative, for a socket's path must be short, to what SWUpdate is started in.
    """
    return {**environment, "TMPDIR": folder}


class Slot(msgspec.Struct, frozen=True):
    """What one slot holds."""

    version: str
    confirmed: bool


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vehicle's slots and its command lines, as the options name them. ``{slot}`` is a slot's name."""

    program: tuple[str, ...]
    slots: Mapping[str, str]
    booted: tuple[str, ...]
    following: tuple[str, ...]
    activate: tuple[str, ...]


class Slots:
    """The record in ``folder``, and the vehicle's own word on which slot runs."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self._folder = folder
        self._file = folder / "slots.json"
        self._setup = setup

    def read(self) -> dict[str, Slot]:
        """Give what the slots hold; a slot that is not named holds nothing that we know."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Slot])
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = str(error)
        kept = set_aside(self._file)
        get_logger(program="slm").error("local_file_set_aside", file=str(self._file), kept_as=kept.name, detail=why)
        return {}

    def write(self, slots: Mapping[str, Slot]) -> None:
        """Replace the record; it is on disk when this returns."""
        write_atomic(self._file, msgspec.json.encode(slots), mode=0o644)

    def install(self, file: Path, version: str, lock: int) -> int:
        """Write an image into the slot that does not run, and have the next boot start it; gives an exit code.

        ``lock`` goes on to SWUpdate, which would write on without us.
        """
        booted = self._booted()
        target = next(name for name in self._setup.slots if name != booted)
        known = self.read()
        known.pop(target, None)
        self.write(known)  # what it said must not outlive what it spoke of
        if self._ask(self._setup.following) == target:
            self._activate(booted)  # a boot in the middle must not start half a system
        command = [*self._setup.program, "-i", str(file), "-e", self._setup.slots[target]]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WRITE_TIMEOUT_S,
            check=False,
            pass_fds=(lock,),
            cwd=self._folder,
            env=alone(os.environ, INSTALLING),
        )
        output = done.stdout.decode(errors="replace")
        print(output, flush=True)
        if not says_success(output):
            return done.returncode or 1
        os.sync()  # SWUpdate's writers do not all wait for the disk, and the record must not say more than is there
        self.write({**known, target: Slot(version, confirmed=False)})
        self._activate(target)
        return 0

    def confirm(self) -> int:
        """Say that what runs is there to stay."""
        booted, known = self._booted(), self.read()
        if booted in known:
            self.write({**known, booted: Slot(known[booted].version, confirmed=True)})
        return 0

    def restore(self, version: str) -> int:
        """Have the next boot start the slot with this version ("": the one that was never written)."""
        known, booted = self.read(), self._booted()
        for name in sorted(self._setup.slots, key=lambda each: each != booted):
            slot = known.get(name)
            if slot == Slot(version, confirmed=True) or (slot is None and not version):
                self._activate(name)
                self.write({each: held for each, held in known.items() if each == name})
                return 0
        print(f"no slot has {version or 'the software from before'}", file=sys.stderr)
        return 1

    def _booted(self) -> str:
        name = self._ask(self._setup.booted)
        if name not in self._setup.slots:
            raise OSError(f"the vehicle says that slot {name[:40]!r} runs, which is not in the options")
        return name

    def _activate(self, name: str) -> None:
        self._ask([argument.replace("{slot}", name) for argument in self._setup.activate])

    def _ask(self, command: Sequence[str]) -> str:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise OSError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[:500]}")
        return done.stdout.decode(errors="replace").strip()


def main(arguments: Sequence[str]) -> int:
    """``FOLDER SETUP install FILE VERSION``, ``… confirm``, ``… restore VERSION``; SETUP is JSON."""
    folder, setup, action, *rest = arguments
    slots = Slots(Path(folder), msgspec.json.decode(setup, type=Setup))
    lock = os.open(Path(folder) / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if action == "install":
            return slots.install(Path(rest[0]), rest[1], lock)
        return slots.confirm() if action == "confirm" else slots.restore(rest[0])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        print(str(error), file=sys.stderr)
        return 1
    finally:
        os.close(lock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
