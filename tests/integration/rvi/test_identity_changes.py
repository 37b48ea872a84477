"""What may change while a node runs: revocations, its own identity, its trust anchors, and the time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sota.boundaries.authority import Authority, Grant
from sota.boundaries.services import allowing
from sota.kit.files.durable import write_atomic
from sota.kit.security.x509 import fingerprint
from sota.rvi import node as node_module
from sota.rvi import revocation
from sota.rvi.node import Node
from sota.rvi.settings import NodeSettings
from tests.support.rvi import (
    OTHER_VIN,
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


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "TICK_S", 0.05)


def certificate_of(folder: Path) -> bytes:
    return x509.load_pem_x509_certificate((folder / "device.pem").read_bytes()).public_bytes(Encoding.DER)


def link_to(settings: NodeSettings) -> str:
    return f"tls://127.0.0.1:{settings.tls_port}"


def vins(node: Node) -> set[str | None]:
    assert node._link is not None
    return {connection.vin for connection in node._link.connections if connection.greeted}


def certificates(node: Node) -> set[bytes | None]:
    assert node._link is not None
    return {connection._certificate for connection in node._link.connections if connection.greeted}


@pytest.mark.parametrize("by", ["certificate", "credential", "VIN"])
async def test_who_is_revoked_is_cut_off_and_does_not_come_back(
    by: str, identities: Identities, tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked.txt"
    settings = backend_settings(identities, tmp_path / "b", revoked=revoked)
    entry = {
        "certificate": fingerprint(certificate_of(identities.vehicle())),
        "credential": credential_id(identities.vehicle()),
        "VIN": VIN,
    }[by]
    async with (
        running(settings) as (node, _),
        running(vehicle_settings(identities, tmp_path / "v", link_to(settings))),
        running(vehicle_settings(identities, tmp_path / "o", link_to(settings), OTHER_VIN)),
    ):
        await wait_until(lambda: vins(node) == {VIN, OTHER_VIN})
        write_atomic(revoked, f"# units that were replaced\n\n{entry}\n".encode())
        await wait_until(lambda: vins(node) == {OTHER_VIN})
        assert not await becomes(lambda: VIN in vins(node))
        revoked.unlink()
        assert not await becomes(lambda: VIN in vins(node)), "a lost file brings no vehicle back"
        write_atomic(revoked, b"# none\n")
        await wait_until(lambda: vins(node) == {VIN, OTHER_VIN})


async def test_credential_that_is_named_counts_although_its_vehicle_is_revoked(
    identities: Identities, tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked.txt"
    revoked.write_text(f"{VIN}\n{allowing(VIN, credential_id(identities.vehicle()))}\n{OTHER_VIN}\n")
    settings = backend_settings(identities, tmp_path / "b", revoked=revoked)
    async with (
        running(settings) as (node, _),
        running(vehicle_settings(identities, tmp_path / "v", link_to(settings))),
        running(vehicle_settings(identities, tmp_path / "o", link_to(settings), OTHER_VIN)),
    ):
        await wait_until(lambda: vins(node) == {VIN})
        assert not await becomes(lambda: OTHER_VIN in vins(node))
        write_atomic(revoked, f"{VIN}\n{OTHER_VIN}\n".encode())
        await wait_until(lambda: vins(node) == set())


async def becomes(condition: Callable[[], object], within_s: float = 0.6) -> bool:
    """Report whether this becomes true within a time."""
    try:
        await wait_until(condition, timeout_s=within_s)
    except (AssertionError, TimeoutError):
        return False
    return True


async def test_a_revocation_from_before_the_start_counts(identities: Identities, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked.txt"
    revoked.write_text(fingerprint(certificate_of(identities.vehicle())))
    settings = backend_settings(identities, tmp_path / "b", revoked=revoked)
    async with (
        running(settings) as (node, _),
        running(vehicle_settings(identities, tmp_path / "v", link_to(settings))),
    ):
        assert not await becomes(lambda: vins(node))


async def test_a_renewed_identity_is_used_without_a_restart(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    own = tmp_path / "identity"
    shutil.copytree(identities.vehicle(), own)
    async with (
        running(settings) as (node, core),
        running(vehicle_settings(identities, tmp_path / "v", link_to(settings), identity=own)) as (vehicle, client),
    ):
        await client.register("/sota/notify", service.url())
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        (old,) = certificates(node)
        identities.authority.issue_vehicle(VIN, own)
        await wait_until(lambda: certificates(node) not in (set(), {old}))
        await wait_until(lambda: vehicle.is_connected)
        await core.send(f"{VEHICLE}/notify", "after")
        assert [message["parameters"] for message in await service.wait_for(1)] == [["after"]]


async def test_half_a_renewal_changes_nothing(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    own = tmp_path / "identity"
    shutil.copytree(identities.vehicle(), own)
    async with (
        running(settings) as (node, _),
        running(vehicle_settings(identities, tmp_path / "v", link_to(settings), identity=own)) as (vehicle, _),
    ):
        await wait_until(lambda: vins(node) == {VIN} and vehicle.is_connected)
        (own / "device.pem").write_bytes((identities.vehicle(OTHER_VIN) / "device.pem").read_bytes())
        assert not await becomes(lambda: not vehicle.is_connected)
        (own / "credential.jwt").write_text("nonsense")
        assert not await becomes(lambda: not vehicle.is_connected)
        shutil.copy(identities.vehicle() / "device.pem", own)
        shutil.copy(identities.vehicle() / "credential.jwt", own)


async def test_a_trust_anchor_takes_over_from_another(identities: Identities, tmp_path: Path) -> None:
    new = Identities(tmp_path / "new")
    new.authority = Authority.create("Another test authority")
    backend = tmp_path / "identity"
    shutil.copytree(identities.backend, backend)
    both = (identities.backend / "root.pem").read_bytes() + (new.backend / "root.pem").read_bytes()
    old_vehicle, new_vehicle = tmp_path / "old-vehicle", tmp_path / "new-vehicle"
    for folder, source in ((old_vehicle, identities.vehicle()), (new_vehicle, new.vehicle(OTHER_VIN))):
        shutil.copytree(source, folder)
        write_atomic(folder / "root.pem", both)
    settings = backend_settings(identities, tmp_path / "b", identity=backend)
    first = vehicle_settings(identities, tmp_path / "v", link_to(settings), identity=old_vehicle)
    second = vehicle_settings(identities, tmp_path / "o", link_to(settings), OTHER_VIN, identity=new_vehicle)
    async with running(settings) as (node, _), running(first), running(second):
        await wait_until(lambda: vins(node) == {VIN})
        write_atomic(backend / "root.pem", both)
        await wait_until(lambda: vins(node) == {VIN, OTHER_VIN})
        for name in ("device.key", "device.pem", "credential.jwt"):
            shutil.copy(new.backend / name, backend)
        write_atomic(backend / "root.pem", (new.backend / "root.pem").read_bytes())
        await wait_until(lambda: vins(node) == {OTHER_VIN})
        assert not await becomes(lambda: VIN in vins(node))


def over_since_long(identities: Identities, folder: Path) -> Path:
    """The backend's identity with a credential of last year."""
    shutil.copytree(identities.backend, folder)
    certificate = x509.load_pem_x509_certificate((folder / "device.pem").read_bytes())
    now = datetime.now(UTC)
    grant = Grant(
        "old", ["genivi.org/backend"], ["genivi.org/vin/"], now - timedelta(days=400), now - timedelta(days=35)
    )
    (folder / "credential.jwt").write_text(identities.authority.sign_credential(grant, certificate))
    return folder


@pytest.mark.parametrize("trusts", [True, False])
async def test_a_clock_that_may_be_wrong_refuses_no_vehicle(
    *, trusts: bool, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    backend = over_since_long(identities, tmp_path / "identity")
    # The backend's own clock is right for its credential: only the vehicle sees it as over.
    settings = backend_settings(identities, tmp_path / "b", identity=backend, trust_clock=False)
    async with (
        running(settings) as (node, core),
        running(vehicle_settings(identities, tmp_path / "v", link_to(settings), trust_clock=trusts)) as (_, client),
    ):
        await client.register("/sota/notify", service.url())
        await wait_until(lambda: node.is_connected)
        await core.send(f"{VEHICLE}/notify", "hello")
        assert await becomes(lambda: bool(service.messages())) is not trusts


async def test_a_clock_that_is_set_right_expires_nothing(
    identities: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = vehicle_settings(identities, tmp_path, "tls://127.0.0.1:1", trust_clock=False)
    async with running(settings) as (node, client):
        await client.send("genivi.org/backend/sota/report", 1)
        assert node.store.messages == 1
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 20 * 365 * 86_400)
        assert not await becomes(lambda: node.store.messages == 0)
        monkeypatch.setattr(time, "time", real)


def test_the_file_is_bounded_and_forgiving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "revoked.txt"
    revocations = revocation.Revocations(file)
    assert not revocations.refresh()
    file.write_text("  credential-1 \n#credential-2\n\n")
    assert revocations.refresh()
    assert revocations.find(None, ["credential-2"]) is None
    assert revocations.find(b"x", ["credential-2", "credential-1"]) == "credential-1"
    assert not revocations.refresh()
    file.write_bytes(b"\xff\xfe")
    assert not revocations.refresh()
    assert len(revocations) == 1
    monkeypatch.setattr(revocation, "MAX_FILE_BYTES", 10)
    file.write_text("credential-3\n")
    os.utime(file, (1, 1))
    assert not revocations.refresh()
    assert revocations.find(None, ["credential-1"]) == "credential-1"
