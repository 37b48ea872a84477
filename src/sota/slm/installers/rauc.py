"""The whole system of a vehicle as a RAUC bundle, written into the slot that does not run, over D-Bus.

RAUC checks the bundle's own signature and its ``compatible`` string, writes it to the other slot, and lets the next
boot start it (``two_slots.py``). Needs the extra ``[rauc]``.

Options (``[slm.options.rauc]``): ``package``, the name of the package that is the system (``system``);
``address``, the D-Bus address of RAUC's service (the system bus); ``factory_version``, the version in a slot that
RAUC never wrote.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sota.boundaries.values import ForeignText, PackageName
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import BadPackage, InstallerFailed, Place, ask
from sota.slm.installers.rauc_service import INFO_TIMEOUT_S, CallRefused, Slot, connect
from sota.slm.installers.two_slots import TwoSlotInstaller
from sota.slm.model import Found, Health

IDLE_POLL_S = 0.2
VALIDITY = re.compile(r"Not (Before|After) ?: *(\w{3} +\d+ [\d:]+ \d+) GMT")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vehicle's options."""

    package: PackageName = "system"
    address: str = ""
    factory_version: ForeignText | None = None


def make(place: Place) -> RaucInstaller:
    """Return the installer."""
    return RaucInstaller(place.read_options(Options, RaucInstaller.name))


class RaucInstaller(TwoSlotInstaller):
    """The vehicle's system, in two slots that RAUC manages."""

    name = "rauc"

    def __init__(self, options: Options) -> None:
        super().__init__(options.package, options.factory_version, "sota.slm.installers.rauc_service", options.address)
        self._options = options

    def prepare(self) -> None:
        """Do nothing: RAUC has its own configuration."""

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Let RAUC check the signature, and compare version and ``compatible`` with the request and the vehicle."""
        if name != self._options.package:
            raise BadPackage(f"The system of this vehicle is {self._options.package}, not {name}.")
        async with connect(self._options.address) as rauc:
            wanted = await rauc.read("Compatible")
            try:
                compatible, found = await rauc.call("Info", "s", str(file), timeout_s=INFO_TIMEOUT_S)
            except CallRefused as error:
                raise BadPackage(f"The bundle was refused: {error.detail}: {await _why_refused(file)}") from None
        if compatible != wanted:
            raise BadPackage(f"The bundle is for {compatible!r}, this vehicle is {wanted!r}.")
        if found != version:
            raise BadPackage(f"The bundle is version {found!r}, not {version}.")

    async def find(self, name: str) -> Found:
        """Ask RAUC which slot runs, and which one the next boot starts."""
        if name != self._options.package:
            return Found(Health.ABSENT)
        async with connect(self._options.address) as rauc:
            slots, (primary,) = await rauc.slots(), await rauc.call("GetPrimary")
        booted = next((slot for slot in slots if slot.booted), None)
        if booted is None:
            raise InstallerFailed("RAUC does not know which slot runs.")
        following = next((slot for slot in slots if slot.name == primary and not slot.booted), None)
        waiting = self._version(following) or "" if following else None
        return self._found(self._version(booted), confirmed=booted.good, waiting=waiting)

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until RAUC is idle: it continues when the process that called it has ended."""
        try:
            async with asyncio.timeout(timeout_s), connect(self._options.address) as rauc:
                while await rauc.read("Operation") != "idle":  # noqa: ASYNC110 - it may end before a listener is registered
                    await asyncio.sleep(IDLE_POLL_S)
        except TimeoutError:
            raise InstallerFailed(f"RAUC has been installing for more than {timeout_s:g} s.") from None

    def _version(self, slot: Slot) -> str | None:
        return slot.version or self._options.factory_version


async def _why_refused(file: Path) -> str:
    """Return why RAUC refuses a bundle, as far as the bundle shows it: RAUC's answer does not."""
    try:
        _, certificates, _ = await ask("rauc", "info", "--no-verify", "--dump-cert", str(file), environment=ENVIRONMENT)
    except InstallerFailed:
        certificates = ""
    return why_not_valid(certificates, datetime.now(UTC)) or (
        "its signature is not by a known key, or it is not a bundle or damaged. RAUC's own log shows which."
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
