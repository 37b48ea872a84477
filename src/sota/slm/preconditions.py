"""Preconditions of an installation and its boot: state of charge, parked, free disk space.

The vehicle reports its state as JSON, ``{"state_of_charge": 80, "parked": true}``, in a file that it keeps up to date
or by a command. A precondition whose value is unknown does not hold.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import InstallerFailed, ask
from sota.slm.journal import Journal
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings

FILE_LIMIT = 1 << 16


class VehicleState(msgspec.Struct, frozen=True):
    """The vehicle's state; None is unknown. Further members are ignored."""

    state_of_charge: Annotated[float, Meta(ge=0, le=100)] | None = None
    parked: bool | None = None


@dataclass(frozen=True, slots=True)
class Needed:
    """The preconditions; 0 and False mean none."""

    state_of_charge: float
    parked: bool
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether all preconditions hold, and each of them in words."""

    holds: bool
    text: str


def evaluate(needed: Needed, state: VehicleState, free_bytes: int, why_unknown: str = "") -> Checked:
    """Compare the vehicle's state with the preconditions.

    >>> evaluate(Needed(30, True, 0), VehicleState(80, None), 0).text
    'state of charge 80 % (needs 30 %): holds; parked: unknown, does not hold'
    """
    unknown = f"unknown ({why_unknown})" if why_unknown else "unknown"
    found: list[tuple[bool, str]] = []
    if needed.state_of_charge > 0:
        charge = -1.0 if state.state_of_charge is None else state.state_of_charge
        shown = unknown if state.state_of_charge is None else f"{charge:g} %"
        text = f"state of charge {shown} (needs {needed.state_of_charge:g} %):"
        found.append((charge >= needed.state_of_charge, text))
    if needed.parked:
        shown = {True: "yes", False: "no", None: unknown}[state.parked]
        found.append((state.parked is True, f"parked: {shown},"))
    if needed.free_bytes > 0:
        found.append((free_bytes >= needed.free_bytes, f"free space {free_bytes} bytes (needs {needed.free_bytes}):"))
    texts = (f"{text} {'holds' if holds else 'does not hold'}" for holds, text in found)
    return Checked(all(holds for holds, _ in found), "; ".join(texts))


class Preconditions:
    """Checks the vehicle's preconditions, and records the result in the journal."""

    def __init__(self, settings: SlmSettings, journal: Journal, running: RunningTime) -> None:
        self._settings = settings
        self._database = journal.database
        self._running = running
        self._seen: tuple[tuple[int, int, int], float] | None = None
        self._needed = Needed(settings.min_state_of_charge, settings.must_be_parked, settings.min_free_bytes)

    @property
    def are_asked(self) -> bool:
        """Whether this vehicle has preconditions."""
        return self._needed != Needed(0, False, 0)

    async def check(self, update_id: str) -> tuple[Checked, float]:
        """Check now and record the result; return also for how many seconds the update has waited."""
        state, why = await self._state()
        root = await asyncio.to_thread(_existing, self._settings.root)
        free = (await asyncio.to_thread(shutil.disk_usage, root)).free
        checked = evaluate(self._needed, state, free, why)
        await self._running.keep()
        now = self._running.ran
        query = (
            "INSERT INTO condition(update_id, since, checked_at, holds, text) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT(update_id) DO UPDATE"
            " SET checked_at = excluded.checked_at, holds = excluded.holds, text = excluded.text RETURNING since"
        )
        values = (update_id, now, now, checked.holds, checked.text)
        since = await self._database.transact(lambda tx: float(tx.execute(query, values).fetchone()["since"]))
        return checked, max(0.0, now - since)

    async def why_not_boot(self) -> str:
        """Return which precondition of an installation forbids a boot now; empty if none does."""
        needed = Needed(self._needed.state_of_charge, self._needed.parked, 0)
        state, why = await self._state()
        checked = evaluate(needed, state, 0, why)
        return "" if checked.holds else checked.text

    async def found(self, update_id: str) -> Checked | None:
        """Return the last result; None without a check."""
        query = "SELECT holds, text FROM condition WHERE update_id = ?"
        found = await self._database.rows(lambda row: Checked(bool(row["holds"]), row["text"]), query, update_id)
        return found[0] if found else None

    async def _state(self) -> tuple[VehicleState, str]:
        """Return the vehicle's state, and why it is unknown if it is."""
        if self._needed.state_of_charge <= 0 and not self._needed.parked:
            return VehicleState(), ""
        try:
            return msgspec.json.decode(await self._reported(), type=VehicleState), ""
        except InstallerFailed as error:
            return VehicleState(), error.detail
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return VehicleState(), f"invalid: {str(error)[:200]}"

    async def _reported(self) -> bytes:
        """Return what the vehicle reports, from its file or its command.

        Raises:
            InstallerFailed: there is neither, or it fails.
        """
        command = self._settings.vehicle_state_command
        if self._settings.vehicle_state_file is not None:
            return await asyncio.to_thread(self._read, self._settings.vehicle_state_file)
        if not command:
            raise InstallerFailed("neither a file nor a command reports it")
        code, output, errors = await ask(*command, environment=ENVIRONMENT)
        if code != 0:
            raise InstallerFailed(f"{command[0]} exited with {code}: {errors[:200]}")
        return output.encode()

    def _read(self, file: Path) -> bytes:
        """Return the content of the vehicle's state file.

        Raises:
            InstallerFailed: it cannot be read, or is too old.
        """
        try:
            status = file.stat()
            with file.open("rb") as content:
                found = content.read(FILE_LIMIT)
        except OSError as error:
            raise InstallerFailed(f"{file}: {error.strerror}") from None
        stamp, now = (status.st_mtime_ns, status.st_ino, status.st_size), self._running.ran
        if self._seen is None or self._seen[0] != stamp:
            self._seen = (stamp, now)
        # By the clock, and by how long it is unchanged: a clock that is set back must not make an old file fresh.
        age_s = max(abs(self._running.clock - status.st_mtime), now - self._seen[1])
        if age_s > self._settings.vehicle_state_max_age_s:
            raise InstallerFailed(f"{file} is {age_s:.0f} s old")
        return found


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.resolve().parents) if each.exists())
