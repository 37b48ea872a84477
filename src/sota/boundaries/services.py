"""Names of services behind the RVI nodes, and what a node's edge takes and answers.

A full name is ``genivi.org/backend/sota/<service>`` (Core's) or ``genivi.org/vin/<VIN>/sota/<service>`` (a vehicle's).
A program registers ``/sota/<service>`` at its node with an address of its own; the node then calls that address
(``rvi_service.py``).

>>> vehicle_service("WVW00000000000001", "notify")
'genivi.org/vin/WVW00000000000001/sota/notify'
>>> short_name("genivi.org/backend/sota/start")
'start'
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from sota.boundaries.values import Message, ServiceName

BACKEND_PREFIX = "genivi.org/backend/"
VEHICLE_PREFIX = "genivi.org/vin/"
BACKEND_SERVICES = ("start", "cancel", "ack", "report", "packages", "renew", "stage", "connected")
VEHICLE_SERVICES = ("notify", "start", "abort", "chunk", "finish", "reported", "getpackages", "identity", "welcome")
_VIN = re.compile(r"[A-Z0-9]{17}")

CALLBACK_PATH = "/rvi/{secret}/{service}"
"""Where Core and the SOTA Client take callbacks: the program makes the secret, the node learns it by registering."""

CALLBACK_LIMIT = 4 << 20


def backend_service(name: str) -> str:
    """Return the full name of a service of Core."""
    return f"genivi.org/backend/sota/{name}"


def vehicle_service(vin: str, name: str) -> str:
    """Return the full name of a service of the vehicle with this VIN."""
    return f"genivi.org/vin/{vin}/sota/{name}"


def local_name(name: str) -> str:
    """Return the name to register at the program's own node, which puts its prefix before it."""
    return f"/sota/{name}"


def is_vin(text: str) -> bool:
    """Return whether this has the form of a VIN: 17 capital letters and digits."""
    return _VIN.fullmatch(text) is not None


def short_name(full_or_local: str) -> str:
    """Return the last element of a full or local name."""
    return full_or_local.rsplit("/", 1)[-1]


def vin_of(full_name: str) -> str | None:
    """Return the VIN in a vehicle's full name, None for any other name."""
    parts = full_name.split("/")
    return parts[2] if len(parts) > 3 and parts[:2] == ["genivi.org", "vin"] else None


class ServiceList(Message, frozen=True):
    """The params of ``services_available`` and ``services_unavailable``."""

    services: Annotated[list[ServiceName], Meta(max_length=100_000)]


class RegisterService(Message, frozen=True):
    """The params of ``register_service``."""

    service: ServiceName
    network_address: Annotated[str, Meta(min_length=1, max_length=2048)]


class UnregisterService(Message, frozen=True):
    """The params of ``unregister_service``: the full name that registering gave."""

    service: ServiceName


class SendMessage(Message, frozen=True):
    """The params of ``message`` to the edge: ``timeout`` is in unix seconds."""

    service_name: ServiceName
    timeout: int
    parameters: object


class EdgeResult(Message, frozen=True):
    """What a node's edge answers: ``status`` 0 is success, 1 an unknown method; the rest depends on the method."""

    status: int
    method: str | None = None
    service: str | None = None
    transaction_id: int | None = None
    services: list[str] | None = None
    node_service_prefix: str | None = None
    vins: list[str] | None = None
    message: str | None = None


def allowing(vin: str, credential: str) -> str:
    """Return the line of a revocation list that lets one credential count although its vehicle's VIN is listed.

    >>> allowing("WVWZZZ1KZ7W000001", "credential-17")
    'WVWZZZ1KZ7W000001+credential-17'
    """
    return f"{vin}+{credential}"
