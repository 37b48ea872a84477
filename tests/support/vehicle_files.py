"""A vehicle's own files in a test: its root folder with dpkg's database, its identity, the keys it trusts.

What is installed is read from the vehicle's database by ``dpkg-query``, beside everything of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import debs


@dataclass(frozen=True, slots=True)
class VehicleFiles:
    """What one vehicle keeps, below ``data``."""

    vin: str
    data: Path

    @property
    def root(self) -> Path:
        """The vehicle's file system."""
        return self.data / "root"

    @property
    def keys(self) -> Path:
        """The public keys that may sign packages."""
        return self.data / "keys"

    @property
    def identity(self) -> Path:
        """Certificate and credential of its node."""
        return self.data / "identity"

    def leave_factory(self, *packages: Path) -> None:
        """Install packages as the factory would: by dpkg alone, before the vehicle knows of us."""
        debs.install(self.root, *packages)

    def installed(self) -> dict[str, str]:
        """Ask the vehicle's package database what is installed and whole: name to version."""
        return debs.installed(self.root)

    @property
    def dpkg_log(self) -> str:
        """Everything that dpkg ever did here."""
        log = self.root / "var/log/dpkg.log"
        return log.read_text() if log.exists() else ""

    def history(self) -> list[str]:
        """Return the packages in the order of their installation, ``name version``."""
        done = [line.partition(" status installed ")[2].split() for line in self.dpkg_log.splitlines()]
        return [f"{words[0].partition(':')[0]} {words[1]}" for words in done if words]
