"""Bodies of B12: what Logistics & Provisioning tells SOTA Core about vehicles as they are built."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import InstalledPackage, Message, PartNumber, Request, Vin


class ProvisionedVehicle(Request, frozen=True):
    """One line: a vehicle, the components in it and the packages installed on it. It replaces what was known."""

    vin: Vin
    components: Annotated[list[PartNumber], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    packages: Annotated[list[InstalledPackage], Meta(max_length=10_000)] = msgspec.field(default_factory=list)
    data_plan: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class ProvisionStatus(StrEnum):
    """What became of a line."""

    INSERTED = "inserted"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ProvisionResult(Message, frozen=True):
    """The result of one line, numbered from 1.

    After a break the caller sends its file again: lines that were done are ``unchanged``.
    """

    line: int
    status: ProvisionStatus
    vin: str | None = None
    detail: str | None = None
