"""Names of services, and the patterns of rights.

* A full name is the node's prefix and a path: ``genivi.org/vin/WVW00000000000001/sota/notify``.
* A right is a pattern that is compared element by element; ``+`` matches any one element. A pattern shorter than the
  name matches everything below it: ``genivi.org/vin/+`` matches every service of every vehicle;
  ``genivi.org/backend/ope`` does not match ``genivi.org/backend/open``.
* Only services that the whitelist names may cross a node, and those that its operator adds (``extra_services``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sota.boundaries.b7_core_rvi.rows import ROWS as B7_ROWS
from sota.boundaries.b9_rvi_client.rows import ROWS as B9_ROWS
from sota.boundaries.interaction import Service
from sota.boundaries.services import BACKEND_PREFIX, VEHICLE_PREFIX, is_vin

MAX_NAME_LENGTH = 256
MAX_REMEMBERED = 10_000
_SCHEME = re.compile(r"[a-z0-9]+:")


def elements(path: str) -> tuple[str, ...]:
    """Split a name or pattern at its slashes; a slash at the end and a scheme in front do not count.

    >>> elements("rvi:genivi.org/backend/")
    ('genivi.org', 'backend')
    """
    scheme = _SCHEME.match(path)
    bare = path[scheme.end() :] if scheme else path
    return tuple(bare.removesuffix("/").split("/")) if bare else ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One right, split for comparison."""

    parts: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Pattern:
        """Parse a pattern of a credential; the empty one matches everything."""
        return cls(elements(text))

    def matches(self, name: str) -> bool:
        """Report whether the name equals this pattern or is below it."""
        path = elements(name)
        if len(self.parts) > len(path):
            return False
        return all(part in ("+", element) for part, element in zip(self.parts, path, strict=False))

    @property
    def vin(self) -> str | None:
        """The one vehicle that this pattern names, if it names one."""
        if len(self.parts) < 3 or self.parts[:2] != ("genivi.org", "vin") or not is_vin(self.parts[2]):
            return None
        return self.parts[2]


def vin_of(name: str) -> str | None:
    """Return the VIN whose service this is, or None for any other name."""
    if not name.startswith(VEHICLE_PREFIX):
        return None
    vin = name[len(VEHICLE_PREFIX) :].partition("/")[0]
    return vin if is_vin(vin) else None


def declared_services(side: str) -> frozenset[str]:
    """Return the whitelist's service names on one side (``vehicle`` or ``backend``), without their prefix."""
    ways = (row.way for row in (*B7_ROWS, *B9_ROWS))
    services = (way for way in ways if isinstance(way, Service) and way.side == side)
    return frozenset(name for service in services for name in (service.name, *service.others))


class ServiceTable:
    """Which services may be registered, announced and sent to: those of the whitelist, and the operator's own.

    ``extra_services`` are patterns below a node's prefix, for example ``open`` or ``control/+/state``.
    """

    def __init__(self, extra_services: Iterable[str] = ()) -> None:
        self._declared = {"vehicle": declared_services("vehicle"), "backend": declared_services("backend")}
        self._extra = tuple(Pattern.read(text) for text in extra_services)
        self._remembered: dict[str, bool] = {}

    def allows(self, name: str) -> bool:
        """Report whether a message to this full name may pass."""
        known = self._remembered.get(name)
        if known is None:
            known = len(name) <= MAX_NAME_LENGTH and self._allows(name)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            if known:  # names that a peer invents are not remembered
                self._remembered[name] = known
        return known

    def _allows(self, name: str) -> bool:
        if name.startswith(BACKEND_PREFIX):
            return self._allows_path("backend", name[len(BACKEND_PREFIX) :])
        if vin_of(name) is None:
            return bool(self._extra) and any(pattern.matches(name) for pattern in self._extra)
        return self._allows_path("vehicle", name[len(VEHICLE_PREFIX) :].partition("/")[2])

    def _allows_path(self, side: str, path: str) -> bool:
        folder, _, service = path.partition("/")
        if folder == "sota" and service in self._declared[side]:
            return True
        return any(pattern.matches(path) for pattern in self._extra)
