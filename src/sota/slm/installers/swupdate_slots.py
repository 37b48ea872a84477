"""The record of what SWUpdate wrote to each of two slots, and the program that carries out a step with it.

SWUpdate keeps no record of its images. The record here is one file, so that an incompletely written slot is never taken
for a complete one. ``python -m sota.slm.installers.swupdate_slots`` is the step's process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from sota.kit.files.durable import write_atomic
from sota.kit.files.set_aside import set_aside
from sota.kit.runtime.logging import get_logger
from sota.slm.installers.steps import Slot, locked

WRITE_TIMEOUT_S = 24 * 3600.0
"""The step's own time-out, a setting of the vehicle, comes first."""
ASK_TIMEOUT_S = 30.0
CHECKING, INSTALLING = "checking", "installing"
"""Folders beside the record, for SWUpdate's socket and temporary files."""
SUCCESS, FAILURE = "[INFO ] : SWUPDATE successful", "[ERROR] : SWUPDATE failed"


def says_success(output: str) -> bool:
    """Report whether SWUpdate succeeded.

    Its exit code is unreliable: if one of its own processes ends too early, it is 1 after a success. The first result
    that its installing process prints is reliable, because the caller inside SWUpdate may lose the answer.
    """
    for line in output.splitlines():
        if line.startswith((SUCCESS, FAILURE)):
            return line.startswith(SUCCESS)
    return False


def alone(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the environment of a SWUpdate with its own control socket and temporary files.

    By default they are in ``/tmp``, where a second SWUpdate would use the first one's processes. ``folder`` is relative
    to SWUpdate's working folder, because a socket's path must be short.
    """
    return {**environment, "TMPDIR": folder}


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vehicle's slots and command lines, from the options. ``{slot}`` is a slot's name."""

    program: tuple[str, ...]
    slots: Mapping[str, str]
    booted: tuple[str, ...]
    following: tuple[str, ...]
    activate: tuple[str, ...]


class Slots:
    """The record in ``folder``, and the vehicle's commands for slots."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self._folder = folder
        self._file = folder / "slots.json"
        self._setup = setup

    def read(self) -> dict[str, Slot]:
        """Return the content of the slots; a missing slot was never written."""
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
        """Replace the record, durably."""
        write_atomic(self._file, msgspec.json.encode(slots), mode=0o644)

    def install(self, file: Path, version: str, lock: int) -> int:
        """Write an image to the slot that does not run, let the next boot start it, and return an exit code.

        SWUpdate inherits ``lock``, because it would continue without this process.
        """
        booted = self._booted()
        target = next(name for name in self._setup.slots if name != booted)
        known = self.read()
        known.pop(target, None)
        self.write(known)  # the record must not outlive the slot's content
        if self._ask(self._setup.following) == target:
            self._activate(booted)  # a boot meanwhile must not start half a system
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
        os.sync()  # SWUpdate does not always wait for the disk, and the record must not be ahead of it
        self.write({**known, target: Slot(version, confirmed=False)})
        self._activate(target)
        return 0

    def confirm(self) -> int:
        """Confirm the running version."""
        booted, known = self._booted(), self.read()
        if booted in known:
            self.write({**known, booted: Slot(known[booted].version, confirmed=True)})
        return 0

    def restore(self, version: str) -> int:
        """Let the next boot start the slot with this version (empty: the slot that was never written)."""
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
            raise OSError(f"slot {name[:40]!r} runs, and the options do not have it")
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
    """Run ``FOLDER SETUP install FILE VERSION``, ``… confirm`` or ``… restore VERSION``; SETUP is JSON."""
    folder, setup, action, *rest = arguments
    slots = Slots(Path(folder), msgspec.json.decode(setup, type=Setup))
    try:
        with locked(Path(folder)) as lock:
            if action == "install":
                return slots.install(Path(rest[0]), rest[1], lock)
            return slots.confirm() if action == "confirm" else slots.restore(rest[0])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        print(str(error), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
