"""Vehicles as a plant provisions them (B12), for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tests.support.answer import Answer
from tests.support.resolver import ProgramCaller


def built(vin: str, *packages: tuple[str, str], components: tuple[str, ...] = ()) -> dict[str, Any]:
    """Describe a vehicle with what is in it."""
    installed = [{"name": name, "version": version} for name, version in packages]
    return {"vin": vin, "components": list(components), "packages": installed}


async def provision(logistics: ProgramCaller, lines: Iterable[dict[str, Any] | bytes]) -> Answer:
    """Send vehicles, a line each, and return a result a line."""
    content = b"\n".join(line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    return await logistics.send("POST", "/logistics/vehicles", content, headers=headers)
