"""What happens to the vehicles of a fleet: a TOML file, and outcomes that are the same for the same seed.

::

    [connectivity]
    offline = 0.2          # share of the vehicles that are offline at first
    online_mean_s = 600    # mean time of a connection; 0: it lasts
    offline_mean_s = 60    # mean time between two connections; 0: an offline vehicle stays offline
    arrival_s = 10         # the first connections are spread over so many seconds

    [faults]
    install_failure = 0.02     # share of installations that fail
    corrupt_download = 0.01    # share of downloads in which a bit is flipped in the vehicle

    [installation]
    mean_s = 2.0           # mean time of an installation
    spread = 0.5           # each takes mean_s * (1 - spread … 1 + spread)
"""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.kit.errors import StartError

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]


class Connectivity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When vehicles are connected."""

    offline: Share = 0.0
    online_mean_s: Seconds = 0.0
    offline_mean_s: Seconds = 0.0
    arrival_s: Seconds = 0.0


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong in vehicles."""

    install_failure: Share = 0.0
    corrupt_download: Share = 0.0


class Installation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a simulated installation takes."""

    mean_s: Seconds = 1.0
    spread: Share = 0.5


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile; by default vehicles stay connected and nothing fails."""

    connectivity: Connectivity = Connectivity()
    faults: Faults = Faults()
    installation: Installation = Installation()

    @classmethod
    def read(cls, file: Path) -> Profile:
        """Read a profile.

        Raises:
            StartError: the file cannot be read or is invalid; says where.
        """
        try:
            return msgspec.convert(tomllib.loads(file.read_text("utf-8-sig")), cls, strict=False)
        except OSError as error:
            raise StartError(f"profile {file}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            raise StartError(f"profile {file}: {error}") from None


class SeededOutcomes:
    """Decides for one vehicle. A package's outcome depends only on seed, VIN and package, not on time."""

    def __init__(self, profile: Profile, seed: int, vin: str) -> None:
        self._profile = profile
        self._fleet = f"{seed}:{vin}"
        self._schedule = random.Random(self._fleet)  # noqa: S311 - must be reproducible, and is no secret

    def fails(self, package: str) -> bool:
        """Return whether the installation of a package (``ivi/2.1.0``) fails."""
        return self._random("install", package) < self._profile.faults.install_failure

    def corrupts(self, package: str) -> bool:
        """Return whether a bit of the package's download is flipped."""
        return self._random("corrupt", package) < self._profile.faults.corrupt_download

    def installation_s(self, package: str) -> float:
        """Return how long the installation of a package takes."""
        kind = self._profile.installation
        return kind.mean_s * (1 + kind.spread * (2 * self._random("time", package) - 1))

    def arrival_s(self) -> float:
        """Return when the vehicle first connects."""
        return self._random("arrival", "") * self._profile.connectivity.arrival_s

    def begins_offline(self) -> bool:
        """Return whether the vehicle is offline at first."""
        return self._random("offline", "") < self._profile.connectivity.offline

    def online_s(self) -> float | None:
        """Return how long the next connection lasts; None: until the end."""
        return self._duration(self._profile.connectivity.online_mean_s)

    def offline_s(self) -> float | None:
        """Return how long the vehicle stays offline; None: until the end."""
        return self._duration(self._profile.connectivity.offline_mean_s)

    def _duration(self, mean_s: float) -> float | None:
        return self._schedule.expovariate(1 / mean_s) if mean_s else None

    def _random(self, what: str, package: str) -> float:
        return random.Random(f"{self._fleet}:{what}:{package}").random()  # noqa: S311 - see above
