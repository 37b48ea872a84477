"""The whole system of a vehicle as a RAUC bundle, written into the slot that does not run, over D-Bus.

RAUC checks the bundle's own signature and its ``compatible`` string, writes it beside what runs, and has the next
boot start it. It is there to stay only after the vehicle has booted and its health check has passed: until then going
back is the other slot. Needs the extra ``[rauc]``.

Options (``[slm.options.rauc]``): ``package``, the name of the package that is the system (``system``);
``address``, the D-Bus address where RAUC's service is (the system's bus); ``factory_version``, what runs in a slot that
RAUC never wrote.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sota.boundaries.values import ForeignText, InstalledPackage, PackageName
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import BadPackage, Capability, Command, InstallerFailed, Place, ask
from sota.slm.installers.rauc_service import INFO_TIMEOUT_S, CallRefused, Slot, connect
from sota.slm.installers.steps import refuse, run_module
from sota.slm.model import Found, Health, Job, Step
from sota.slm.versions import is_newer

IDLE_POLL_S = 0.2
VALIDITY = re.compile(r"Not (Before|After) ?: *(\w{3} +\d+ [\d:]+ \d+) GMT")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a vehicle can say about RAUC."""

    package: PackageName = "system"
    address: str = ""
    factory_version: ForeignText | None = None


def make(place: Place) -> RaucInstaller:
    """Make the installer."""
    return RaucInstaller(place.read_options(Options, RaucInstaller.name))


class RaucInstaller:
    """The vehicle's system, in two slots that RAUC knows."""

    name = "rauc"
    capabilities = Capability.LIST | Capability.TWO_SLOTS | Capability.NEEDS_BOOT | Capability.VERIFIES

    def __init__(self, options: Options) -> None:
        self._options = options

    def prepare(self) -> None:
        """There is nothing to make: RAUC has its own configuration."""

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Let RAUC check the signature, and hold version and ``compatible`` against what is wanted and what is here."""
        if name != self._options.package:
            raise BadPackage(f"The system of this vehicle is {self._options.package}, not {name}.")
        async with connect(self._options.address) as rauc:
            wanted = await rauc.read("Compatible")
            try:
                compatible, found = await rauc.call("Info", "s", str(file), timeout_s=INFO_TIMEOUT_S)
            except CallRefused as error:
                raise BadPackage(f"The bundle was not taken: {error.detail}: {await _why_refused(file)}") from None
        if compatible != wanted:
            raise BadPackage(f"The bundle is for {compatible!r}, this vehicle is {wanted!r}.")
        if found != version:
            raise BadPackage(f"The bundle is version {found!r}, not {version}.")

    async def find(self, name: str) -> Found:
        """Ask RAUC which slot runs, and which one the next boot starts."""
        if name != self._options.package:
            return Found(Health.ABSENT)
        async with connect(self._options.address) as rauc:
            slots, primary = await rauc.slots(), await rauc.primary()
        booted = next((slot for slot in slots if slot.booted), None)
        if booted is None:
            raise InstallerFailed("RAUC does not know which slot runs.")
        version = self._version(booted)
        following = next((slot for slot in slots if slot.name == primary and not slot.booted), None)
        waiting = self._version(following) or "" if following else None
        if version is None:
            return Found(Health.ABSENT, next_version=waiting)
        return Found(Health.INSTALLED if booted.good else Health.UNCONFIRMED, version, waiting)

    async def list(self) -> list[InstalledPackage]:
        """Give the system, where its version is known."""
        version = (await self.find(self._options.package)).running_version
        return [InstalledPackage(name=self._options.package, version=version)] if version else []

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Compare versions by their numbers; what the factory left, whatever its name is, is the oldest."""
        newer = is_newer(installed, wanted)
        return False if newer is None and installed == self._options.factory_version else newer

    async def save(self, name: str, file: Path) -> None:
        """There is nothing to save: the other slot has it."""
        raise InstallerFailed(f"{name} needs no file for going back.")

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until RAUC installs nothing: it goes on after the process that asked for it has ended."""
        try:
            async with asyncio.timeout(timeout_s), connect(self._options.address) as rauc:
                while await rauc.read("Operation") != "idle":  # noqa: ASYNC110 - it may end before one listens
                    await asyncio.sleep(IDLE_POLL_S)
        except TimeoutError:
            raise InstallerFailed(f"RAUC installs something for more than {timeout_s:g} s.") from None

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Give the step's command: this program again, as a process of its own that outlives us."""
        if step in {Step.INSTALL, Step.REINSTALL, Step.REPAIR}:
            action = ("install", str(file))
        elif step is Step.CONFIRM:
            action = ("confirm", job.version)
        elif step in {Step.RESTORE, Step.DISCARD}:
            factory = job.previous_version == self._options.factory_version
            action = ("restore", "" if factory or job.previous_version is None else job.previous_version)
        else:
            return refuse(f"RAUC has no command to {step} {job.name}")
        return run_module("sota.slm.installers.rauc_service", self._options.address, *action)

    def _version(self, slot: Slot) -> str | None:
        return slot.version or self._options.factory_version


async def _why_refused(file: Path) -> str:
    """Return why RAUC refuses a bundle as far as that can be read from the bundle: its answer does not say."""
    try:
        _, told, _ = await ask("rauc", "info", "--no-verify", "--dump-cert", str(file), environment=ENVIRONMENT)
    except InstallerFailed:
        told = ""
    return why_not_valid(told, datetime.now(UTC)) or (
        "its signature is not of a known key, or it is no bundle or a damaged one. RAUC's own log says which."
    )


def why_not_valid(certificates: str, now: datetime) -> str:
    """Return why certificates in OpenSSL's text form are not valid now; empty where their dates are not the reason.

    >>> why_not_valid("Not After : Nov 27 15:10:14 2036 GMT", datetime(2040, 1, 1, tzinfo=UTC))
    "its certificate expired on 2036-11-27, and this vehicle's clock says 2040-01-01: one of them is wrong."
    """
    for kind, text in VALIDITY.findall(certificates):
        day = datetime.strptime(text, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        if now < day if kind == "Before" else now > day:
            what = "is valid only from" if kind == "Before" else "expired on"
            clock = f"this vehicle's clock says {now:%Y-%m-%d}"
            return f"its certificate {what} {day:%Y-%m-%d}, and {clock}: one of them is wrong."
    return ""
