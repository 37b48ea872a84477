"""B8, RVI Node Server and RVI Node Client: every service, in both directions, over each kind of link.

There is no HTTP on this boundary, and so no status: a row is kept when its message arrives, whole, at the service that
it is for, and names who sent it. How two nodes speak is in ``tests/integration/rvi/``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    VIN,
    Identities,
    RecordingService,
    backend_settings,
    credential_id,
    running,
    vehicle_settings,
    wait_until,
)

LINKS = ("tls", "tls+json", "tcp")


@pytest.mark.whitelist("WL-B8-1")
@pytest.mark.whitelist("WL-B8-2")
@pytest.mark.whitelist("WL-B8-3")
@pytest.mark.whitelist("WL-B8-4")
@pytest.mark.whitelist("WL-B8-5")
@pytest.mark.whitelist("WL-B8-6")
@pytest.mark.whitelist("WL-B8-7")
@pytest.mark.parametrize("scheme", LINKS)
async def test_every_service_of_the_whitelist_is_carried(
    scheme: str, identities: Identities, tmp_path: Path, service: RecordingService, other_service: RecordingService
) -> None:
    (port,) = free_ports(1)
    ports = {"tls_port": 0, "tcp_port": port} if scheme == "tcp" else {"tls_port": port}
    address = f"{scheme}://127.0.0.1:{port}"
    async with (
        running(backend_settings(identities, tmp_path / "b", **ports)) as (_, core),
        running(vehicle_settings(identities, tmp_path / "v", address)) as (_, client),
    ):
        to_vehicle = ("notify", "start", "abort", "chunk", "finish", "reported", "getpackages", "welcome")
        to_backend = ("start", "cancel", "ack", "report", "packages", "stage", "connected")
        for name in to_backend:
            await core.register(f"/sota/{name}", other_service.url(f"/{name}"))
        for name in to_vehicle:
            await client.register(f"/sota/{name}", service.url(f"/{name}"))
        await wait_until(lambda: len(set(other_service.notices("services_available", "/start"))) >= 7 + 4)
        for name in to_vehicle:
            await core.send(f"{VEHICLE}/{name}", {"text": 'é"[{', "n": [1, 2.5, None, True]})
        for name in to_backend:
            await client.send(f"{BACKEND}/{name}", None)
        for name in to_vehicle:
            await wait_until(partial(service.messages, f"/{name}"))
            assert service.messages(f"/{name}") == [
                {
                    "service_name": f"/sota/{name}",
                    "parameters": [{"text": 'é"[{', "n": [1, 2.5, None, True]}],
                    "peer": {"vin": None, "credential": credential_id(identities.backend)},
                }
            ]
        for name in to_backend:
            await wait_until(partial(other_service.messages, f"/{name}"))
            assert other_service.messages(f"/{name}") == [
                {
                    "service_name": f"/sota/{name}",
                    "parameters": [None],
                    "peer": {"vin": VIN, "credential": credential_id(identities.vehicle())},
                }
            ]
