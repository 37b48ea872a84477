"""TLS as a real rvi_core has it: certificates of X.509 version 1, whose names say nothing; TLS 1.2 as well as 1.3."""

from __future__ import annotations

import contextlib
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from sota.boundaries.authority import Authority, Grant, key_pem
from sota.rvi.codec import JSON, MSGPACK, Codec
from sota.rvi.credentials import Identity
from sota.rvi.link import client_context, server_context
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    VIN,
    Identities,
    RawListener,
    RawPeer,
    RecordingService,
    backend_settings,
    running,
    token,
    vehicle_settings,
    wait_until,
)

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def element(tag: int, content: bytes) -> bytes:
    """A value of DER."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def as_version_1(certificate: x509.Certificate, signer: rsa.RSAPrivateKey) -> x509.Certificate:
    """The same certificate as ``openssl x509 -req`` makes it: without version and extensions."""
    content, at = certificate.tbs_certificate_bytes, 0
    parts: list[bytes] = []
    inside = content[2 + (content[1] & 0x7F if content[1] & 0x80 else 0) :]
    while at < len(inside):
        count = inside[at + 1] & 0x7F if inside[at + 1] & 0x80 else 0
        size = int.from_bytes(inside[at + 2 : at + 2 + count], "big") if count else inside[at + 1]
        end = at + 2 + count + size
        parts.append(inside[at:end])
        at = end
    kept = element(0x30, b"".join(part for part in parts if part[0] not in (0xA0, 0xA3)))
    signature = signer.sign(kept, padding.PKCS1v15(), hashes.SHA256())
    algorithm = parts[2]
    return x509.load_der_x509_certificate(element(0x30, kept + algorithm + element(0x03, b"\0" + signature)))


@pytest.fixture(scope="module")
def old_identities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Identities of the backend and of a vehicle in version 1; the vehicle's certificate names no VIN."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.now(UTC)
    made = Authority(key, _root(key))
    rights = {"backend": ("genivi.org/backend/", "genivi.org/vin/"), "box": (f"genivi.org/vin/{VIN}/", "genivi.org/")}
    folders = []
    for name, (receive, invoke) in rights.items():
        folder = tmp_path_factory.mktemp(name)
        device_key, device = made.sign_device(name)
        old = as_version_1(device, key)
        assert old.version is x509.Version.v1
        grant = Grant(name, [receive], [invoke], now - timedelta(1), now + timedelta(1))
        (folder / "root.pem").write_bytes(made.root_pem)
        (folder / "device.pem").write_bytes(old.public_bytes(Encoding.PEM))
        (folder / "device.key").write_bytes(key_pem(device_key))
        (folder / "credential.jwt").write_text(made.sign_credential(grant, old) + "\r\n")
        folders.append(folder)
    return folders[0], folders[1]


def _root(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "GENIVI")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    return as_version_1(builder.sign(key, hashes.SHA256()), key)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_a_real_vehicle_connects_with_certificates_of_version_1(
    version: ssl.TLSVersion, codec: Codec, old_identities: tuple[Path, Path], tmp_path: Path, service: RecordingService
) -> None:
    backend, vehicle = old_identities
    settings = backend_settings(Identities(tmp_path), tmp_path, identity=backend)
    tls = client_context(Identity.read(vehicle, time.time()))
    tls.minimum_version = tls.maximum_version = version
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, vehicle, codec, tls=tls)
        await peer.greet(token(vehicle).strip())
        data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [1]}
        peer.send({"tid": 1, "cmd": "rcv", "mod": f"proto_{codec.name}_rpc", "data": data})
        (message,) = await service.wait_for(1)
        assert message["peer"]["vin"] == VIN, "its credential says so, not its certificate"
        await peer.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_ours_connects_to_a_real_backend_with_certificates_of_version_1(
    version: ssl.TLSVersion, old_identities: tuple[Path, Path], tmp_path: Path
) -> None:
    backend, vehicle = old_identities
    tls = server_context(Identity.read(backend, time.time()))
    tls.minimum_version = tls.maximum_version = version
    listener = await RawListener(backend, MSGPACK).start(tls=tls)
    address = f"tls://127.0.0.1:{listener.port}"
    async with running(vehicle_settings(Identities(tmp_path), tmp_path, address, identity=vehicle)) as (node, _):
        peer = await listener.peer()
        assert (await peer.read()).creds == [token(vehicle).strip()], "without what stands behind it in the file"
        peer.send({"cmd": "au", "ver": "1.0", "creds": [token(backend).strip()]})
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{BACKEND}/start"]})
        assert (await peer.read()).cmd == "sa"
        await wait_until(lambda: f"{BACKEND}/start" in node.known_services())
    await listener.stop()


@pytest.mark.parametrize("kind", ["leaf", "self_signed", "own_root"])
async def test_a_stranger_does_not_get_in(kind: str, identities: Identities, tmp_path: Path) -> None:
    """A leaf of an unknown authority alone, one signed by itself, and a leaf with its own root behind it."""
    folder = Identities(tmp_path / "strangers").vehicle()
    chain = {
        "leaf": (folder / "device.pem").read_bytes(),
        "self_signed": (tmp_path / "strangers" / "authority" / "root.pem").read_bytes(),
        "own_root": (folder / "device.pem").read_bytes() + (folder / "root.pem").read_bytes(),
    }
    key = tmp_path / "strangers" / "authority" / "root.key" if kind == "self_signed" else folder / "device.key"
    (tmp_path / "chain.pem").write_bytes(chain[kind])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.load_cert_chain(tmp_path / "chain.pem", key)
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (node, _):
        with contextlib.suppress(OSError):
            peer = await RawPeer.connect(settings.tls_port, folder, tls=tls)
            peer.send({"cmd": "au", "ver": "1.0", "creds": [token(identities.vehicle())]})
            peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify"]})
            assert await peer.is_cut_off()
            await peer.close()
        assert not node.is_connected
