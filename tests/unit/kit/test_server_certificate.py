"""A server's certificate: TLS 1.2 or later, replaced while it runs, and never by a broken one."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sota.kit.errors import StartError
from sota.kit.http.listener import HttpListener
from sota.kit.security.tls import ServerCertificate, ensure_certificate, time_left


class Files:
    """A certificate and its key, and others to put in their place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate, self.key = ensure_certificate(folder / "own")

    def another(self, name: str) -> tuple[Path, Path]:
        return ensure_certificate(self.folder / name)

    def put(self, certificate: Path, key: Path) -> None:
        shutil.copy(key, self.key)
        shutil.copy(certificate, self.certificate)


def test_self_signed_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    made = datetime(2030, 1, 1, tzinfo=UTC)
    certificate, key = ensure_certificate(tmp_path, now=made)
    assert time_left(certificate, made) == timedelta(days=365)
    before = certificate.read_bytes(), key.read_bytes()
    ensure_certificate(tmp_path, now=made + timedelta(days=334))
    assert (certificate.read_bytes(), key.read_bytes()) == before
    late = made + timedelta(days=336)
    ensure_certificate(tmp_path, now=late)
    assert time_left(certificate, late) == timedelta(days=365)
    ServerCertificate(certificate, key)
    certificate.write_bytes(b"no certificate")
    assert time_left(certificate, late) == timedelta()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def app(_scope: object, _receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]


@pytest.fixture
async def served(files: Files) -> AsyncIterator[tuple[ServerCertificate, int]]:
    certificate = ServerCertificate(files.certificate, files.key)
    listener = HttpListener(app, "127.0.0.1", 0, tls=certificate.context)
    await listener.start()
    yield certificate, listener.port
    await listener.stop()


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


async def shown(port: int, *, name: str | None = "localhost", version: ssl.TLSVersion | None = None) -> bytes:
    """Return the certificate that the server presents in a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert isinstance(found, bytes)
    return found


async def test_new_connections_get_the_new_certificate(files: Files, served: tuple[ServerCertificate, int]) -> None:
    certificate, port = served
    before = der(files.certificate)
    assert await shown(port) == before
    files.put(*files.another("new"))
    assert await shown(port) == before  # no check has run yet
    assert certificate.refresh()
    for name in ("localhost", "127.0.0.1"):  # an address is no server name: the certificate is the same
        assert await shown(port, name=name) == der(files.certificate) != before
    assert not certificate.refresh()


@pytest.mark.parametrize("harm", ["garbage", "key of another", "empty", "gone"])
async def test_broken_file_changes_nothing_and_the_next_good_one_does(
    files: Files, served: tuple[ServerCertificate, int], harm: str
) -> None:
    certificate, port = served
    before = der(files.certificate)
    if harm == "garbage":
        files.certificate.write_text("-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n")
    elif harm == "key of another":
        shutil.copy(files.another("other")[1], files.key)
    elif harm == "empty":
        files.certificate.write_text("")
    else:
        files.key.unlink()
    assert not certificate.refresh()
    assert await shown(port) == before
    files.put(*files.another("new"))
    assert certificate.refresh()
    assert await shown(port) == der(files.certificate) != before


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_older_versions_are_refused(served: tuple[ServerCertificate, int]) -> None:
    _, port = served
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert await shown(port, version=version)
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, version=version)


@pytest.mark.parametrize("bits", [1024, 2047])
@pytest.mark.parametrize("is_callers", [False, True])
def test_small_rsa_key_is_refused_with_its_size(files: Files, bits: int, is_callers: bool) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    small = files.folder / "small.pem"
    small.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))

    with pytest.raises(StartError, match=f"the RSA key has {bits} bits; at least 2048 are required"):
        ServerCertificate(files.certificate if is_callers else small, files.key, small if is_callers else None)


def test_certificate_that_cannot_be_used_stops_the_start(files: Files) -> None:
    with pytest.raises(StartError, match="key values mismatch"):
        ServerCertificate(files.certificate, files.another("other")[1])
    with pytest.raises(StartError, match="No such file"):
        ServerCertificate(files.certificate, files.folder / "nowhere")
