"""Who may receive and invoke what: both rights hold, on messages and on announcements, in both directions."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sota.boundaries.authority import Authority, Grant
from sota.kit.errors import StartError
from sota.rvi.node import Node
from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    OTHER_VIN,
    VEHICLE,
    VIN,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    running,
    token,
    vehicle_settings,
    wait_until,
)

NOW = datetime.now(UTC)
GRANT = Grant(VIN, [f"genivi.org/vin/{VIN}/"], ["genivi.org/backend/"], NOW - timedelta(1), NOW + timedelta(1))
OTHER_VEHICLE = f"genivi.org/vin/{OTHER_VIN}/sota"


def certificate(identity: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((identity / "device.pem").read_bytes())


def wrong_credentials(identities: Identities) -> dict[str, str]:
    own = certificate(identities.vehicle())
    return {
        "another authority": Authority.create("a stranger").sign_credential(GRANT, own),
        "expired": identities.authority.sign_credential(replace(GRANT, stop=NOW - timedelta(hours=1)), own),
        "not yet valid": identities.authority.sign_credential(replace(GRANT, start=NOW + timedelta(hours=1)), own),
        "the certificate of another vehicle": token(identities.vehicle(OTHER_VIN)),
        "malformed": "a.b",
    }


async def test_a_refused_credential_gives_no_rights_and_the_connection_stays(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        for why, credential in wrong_credentials(identities).items():
            peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
            await peer.greet(credential)
            for vehicle in (VEHICLE, OTHER_VEHICLE):
                peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{vehicle}/notify"]})
            peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "parameters": [why]}})
            # The same connection with the right credential, so that the test does not wait for nothing to happen.
            peer.send({"cmd": "au", "ver": "1.0", "creds": [credential, token(identities.vehicle())]})
            assert (await peer.read()).svcs == [f"{BACKEND}/report"], why
            assert node.known_services() == [f"{BACKEND}/report"], why
            peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "parameters": ["right"]}})
            await wait_until(service.messages)
            assert [message["parameters"] for message in service.messages()] == [["right"]], why
            service.calls.clear()
            await peer.close()


async def test_a_vehicle_cannot_announce_services_of_another(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (node, core):
        await core.register("/sota/start", service.url())
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        wrong = [f"{OTHER_VEHICLE}/notify", f"{BACKEND}/start", "genivi.org/", "", f"genivi.org/vin/{VIN}/", "x" * 1000]
        peer.send({"cmd": "sa", "stat": "av", "svcs": [*wrong, f"{VEHICLE}/notify"]})
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        assert set(node.known_services()) == {f"{BACKEND}/start", f"{VEHICLE}/notify"}
        await core.send(f"{OTHER_VEHICLE}/notify", "not for you")
        await core.send(f"{VEHICLE}/notify", "for you")
        packet = await peer.read()
        assert b"for you" in bytes(packet.data)
        assert b"not for you" not in bytes(packet.data)
        await peer.close()


async def test_a_vehicle_cannot_send_to_another(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    """Neither through the backend, which hosts no vehicle's services, nor directly."""
    peer_address, (port,) = "tls://127.0.0.1:1", free_ports(1)
    listening = vehicle_settings(identities, tmp_path / "v", peer_address, OTHER_VIN, tls_port=port)
    async with running(listening) as (_, client):
        name = await client.register("/sota/notify", service.url())
        peer = await RawPeer.connect(listening.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        peer.send({"cmd": "rcv", "data": {"service": name, "parameters": ["from a vehicle"]}})
        core = await RawPeer.connect(listening.tls_port, identities.backend)
        await core.greet(token(identities.backend))
        core.send({"cmd": "rcv", "data": {"service": name, "parameters": ["from the backend"]}})
        received = await service.wait_for(1)
        assert [message["parameters"] for message in received] == [["from the backend"]]
        await peer.close()
        await core.close()


async def test_services_are_announced_only_to_those_who_may_invoke_them(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    narrow = identities.with_rights("narrow", [f"genivi.org/vin/{VIN}/"], ["genivi.org/backend/sota/report"])
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (_, core):
        await core.register("/sota/ack", service.url())
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, narrow)
        peer.send({"cmd": "au", "ver": "1.0", "creds": [token(narrow)]})
        assert (await peer.read()).cmd == "au"
        assert (await peer.read()).svcs == [f"{BACKEND}/report"]
        await core.register("/sota/start", service.url())
        await core.result("unregister_service", {"service": f"{BACKEND}/report"})
        packet = await peer.read()
        assert (packet.stat, packet.svcs) == ("un", [f"{BACKEND}/report"])
        await peer.close()


async def test_rights_end_while_the_connection_stands(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    short = replace(GRANT, stop=datetime.now(UTC) + timedelta(seconds=2))
    credential = identities.authority.sign_credential(short, certificate(identities.vehicle()))
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(credential)
        peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "parameters": ["valid"]}})
        await service.wait_for(1)
        await wait_until(lambda: time.time() > int(short.stop.timestamp()) + 0.05)
        peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "parameters": ["late"]}})
        peer.send({"cmd": "au", "ver": "1.0", "creds": [token(identities.vehicle())]})
        await peer.read()
        peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "parameters": ["renewed"]}})
        received = await service.wait_for(2)
        assert [message["parameters"] for message in received] == [["valid"], ["renewed"]]
        await peer.close()


async def test_this_node_keeps_to_its_own_rights(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    async with running(vehicle_settings(identities, tmp_path / "v", "tls://127.0.0.1:1")) as (_, client):
        params = {"service_name": f"{OTHER_VEHICLE}/notify", "timeout": 60_000, "parameters": []}
        error = (await client.call("message", params))["error"]
        assert (error["code"], error["data"]["code"]) == (-32603, "right_to_invoke")


async def test_a_broad_credential_speaks_for_the_vehicle_of_its_certificate(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    vin = "WVW00000000000009"
    broad = identities.with_rights(vin, ["genivi.org/"], ["genivi.org/"])
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, broad)
        await peer.greet(token(broad))
        peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "parameters": []}})
        (received,) = await service.wait_for(1)
        assert received["peer"]["vin"] == vin
        await peer.close()


async def test_a_node_without_the_right_to_its_own_prefix_does_not_start(
    identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path / "b", identity=identities.vehicle())
    with pytest.raises(StartError, match="no right to receive"):
        await Node(settings).start()


async def test_a_node_without_an_identity_does_not_start(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path / "b", identity=tmp_path / "nowhere")
    with pytest.raises(StartError, match="cannot read the identity"):
        await Node(settings).start()
