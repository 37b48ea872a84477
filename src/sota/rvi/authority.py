"""A generated authority for demonstrations and tests: makes certificates and credentials for nodes.

``open`` makes it at the first use and finds it again later; its key stays in its own folder and is never handed out::

    authority = Authority.open(Path("var/authority"))
    authority.issue_backend(Path("var/rvi-node/identity"))
    authority.issue_vehicle("WVW00000000000001", Path("vehicle/identity"))

Each folder then holds what a node reads: ``root.pem``, ``device.pem``, ``device.key`` (0600) and ``credential.jwt``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from sota.kit.durable import private_folder, write_atomic
from sota.rvi.names import BACKEND_PREFIX, VEHICLE_PREFIX, is_vin

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
KEY_BITS = 2048
# A day early, so that a device whose clock is a little behind is not refused on its first day.
EARLY = timedelta(days=1)
ROOT_LIFETIME = timedelta(days=3650)
DEVICE_LIFETIME = timedelta(days=825)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a credential is to say."""

    name: str
    receive: Sequence[str]
    invoke: Sequence[str]
    start: datetime
    stop: datetime


class Authority:
    """Signs certificates and credentials."""

    def __init__(self, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
        self._key, self.certificate = key, certificate
        self._signing_key = RSAKey.import_key(_key_pem(key))

    @classmethod
    def create(cls, name: str = "SOTA test authority") -> Authority:
        """Make an authority with a new key, in memory only."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key(), ROOT_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Find the authority kept in a folder, or make one there."""
        key_file, root_file = folder / "root.key", folder / "root.pem"
        if not (key_file.exists() and root_file.exists()):
            private_folder(folder)
            made = cls.create()
            write_atomic(key_file, _key_pem(made._key), mode=0o600)
            write_atomic(root_file, made.root_pem)
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{key_file} is no RSA key")
        return cls(key, x509.load_pem_x509_certificate(root_file.read_bytes()))

    @property
    def root_pem(self) -> bytes:
        """The trust anchor's certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue_backend(self, folder: Path) -> None:
        """Make the identity of the backend's node: it receives for the backend and sends to every vehicle."""
        self.issue(folder, "backend", receive=[BACKEND_PREFIX], invoke=[VEHICLE_PREFIX])

    def issue_vehicle(self, vin: str, folder: Path, *, key: PrivateKey | None = None) -> None:
        """Make the identity of a vehicle's node: it receives for its own VIN alone and sends to the backend.

        ``key`` is the vehicle's, a new RSA key where none is given; one of P-256 is made a thousand times quicker.

        Raises:
            ValueError: this is no VIN.
        """
        if not is_vin(vin):
            raise ValueError(f"{vin!r} is no VIN: 17 capital letters and digits")
        self.issue(folder, vin, receive=[f"{VEHICLE_PREFIX}{vin}/"], invoke=[BACKEND_PREFIX], key=key)

    def issue(
        self,
        folder: Path,
        name: str,
        *,
        receive: Sequence[str],
        invoke: Sequence[str],
        key: PrivateKey | None = None,
    ) -> None:
        """Make a node's identity in ``folder``: key, certificate and a credential with these rights."""
        private_folder(folder)
        key, certificate = self.sign_device(name, key)
        now = datetime.now(UTC)
        grant = Grant(name, receive, invoke, now - EARLY, now + DEVICE_LIFETIME)
        write_atomic(folder / "device.key", _key_pem(key), mode=0o600)
        write_atomic(folder / "device.pem", certificate.public_bytes(Encoding.PEM))
        write_atomic(folder / "root.pem", self.root_pem)
        write_atomic(folder / "credential.jwt", self.sign_credential(grant, certificate).encode())

    def sign_device(self, name: str, key: PrivateKey | None = None) -> tuple[PrivateKey, x509.Certificate]:
        """Make a device's certificate, and its key where none is given."""
        key = key or rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, key.public_key(), DEVICE_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        return key, builder.sign(self._key, hashes.SHA256())

    def sign_credential(self, grant: Grant, certificate: x509.Certificate) -> str:
        """Sign a credential that is bound to this certificate."""
        claims = {
            "iss": "SOTA",
            "id": f"credential-{grant.name}",
            "right_to_receive": list(grant.receive),
            "right_to_invoke": list(grant.invoke),
            "create_timestamp": int(datetime.now(UTC).timestamp()),
            "device_cert": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
            "validity": {"start": int(grant.start.timestamp()), "stop": int(grant.stop.timestamp())},
        }
        return jwt.encode({"typ": "JWT", "alg": "RS256"}, claims, self._signing_key, algorithms=["RS256"])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + lifetime)
    )


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
