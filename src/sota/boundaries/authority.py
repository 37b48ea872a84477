"""The certificate authority: issues certificates and credentials to nodes, and is replaced by a successor.

``open`` creates it at the first use and loads it later. Its key never leaves its own folder::

    authority = Authority.open(Path("var/authority"))
    authority.issue_backend(Path("var/rvi-node/identity"))
    authority.issue_vehicle("WVW00000000000001", Path("vehicle/identity"))
    issued = authority.sign_request("WVW00000000000001", request)   # the vehicle made its own key

An identity is a folder with what a node reads: ``root.pem`` (the trust anchors), ``device.pem``, ``device.key`` (0600)
and ``credential.jwt``. SOTA Core issues and renews the identities of vehicles (``core/identity``).

Replacing an authority takes three steps. ``prepare`` creates its successor; from then on both are trust anchors.
``switch`` lets the successor sign. ``retire`` removes the old one, when no identity depends on it any more.
The folder holds ``root.key`` and ``root.pem``, meanwhile ``next.key`` and ``next.pem``, then ``previous.pem``.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
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
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from sota.boundaries.services import BACKEND_PREFIX, VEHICLE_PREFIX, is_vin
from sota.kit.files.durable import private_folder, sync_folder, write_atomic

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
KEY_BITS = 2048
# Strict verification of RFC 5280, which Python 3.13 does by default, wants key usage and key identifiers.
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
# A day early, so that a device with a slow clock is not refused on its first day.
EARLY = timedelta(days=1)
ROOT_LIFETIME = timedelta(days=3650)
DEVICE_LIFETIME = timedelta(days=825)
MAX_REQUEST_BYTES = 16 << 10
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Grant:
    """The contents of a credential."""

    name: str
    receive: Sequence[str]
    invoke: Sequence[str]
    start: datetime
    stop: datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """An identity without its private key: the certificate (PEM) and the credential.

    ``fingerprint`` and ``issuer`` are the SHA-256 of certificates, ``public_key`` is that of the key, in hex.
    """

    certificate: str
    credential: str
    credential_id: str
    fingerprint: str
    public_key: str
    issuer: str
    not_after: datetime


class Authority:
    """Signs certificates and credentials. ``others`` are trust anchors beside it: its successor or predecessor."""

    def __init__(self, key: rsa.RSAPrivateKey, certificate: x509.Certificate, others: bytes = b"") -> None:
        _check_key(key.public_key())
        self._key, self.certificate, self._others = key, certificate, others
        self._signing_key = RSAKey.import_key(key_pem(key))

    @classmethod
    def create(cls, name: str = "SOTA test authority") -> Authority:
        """Return an authority with a new key, in memory only."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        builder = _builder(_named(name), _named(name), key.public_key(), ROOT_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Load the authority of a folder, or create one there.

        Raises:
            ValueError: its key is not RSA, or too small.
        """
        finish_switch(folder)
        key_file, root_file = folder / "root.key", folder / "root.pem"
        if not (key_file.exists() and root_file.exists()):
            private_folder(folder)
            _keep(cls.create(), key_file, root_file)
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{key_file} is not an RSA key")
        beside = (folder / "next.pem", folder / "previous.pem")
        others = b"".join(file.read_bytes() for file in beside if file.exists())
        return cls(key, x509.load_pem_x509_certificate(root_file.read_bytes()), others)

    @property
    def root_pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def anchors_pem(self) -> bytes:
        """All trust anchors, its own first: the content of a node's ``root.pem``."""
        return self.root_pem + self._others

    @property
    def issuer(self) -> str:
        """The SHA-256 of the authority's certificate, in hex."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def anchors(self) -> list[tuple[str, str]]:
        """Return fingerprint and common name of each trust anchor."""
        return [
            (certificate.fingerprint(hashes.SHA256()).hex(), _common_name(certificate.subject))
            for certificate in x509.load_pem_x509_certificates(self.anchors_pem)
        ]

    def issue_backend(self, folder: Path, *, hosts: Sequence[str] = ()) -> None:
        """Write the identity of the backend's node, which receives for the backend and sends to every vehicle.

        ``hosts`` are names and addresses that vehicles connect to, in addition to those of this machine. Our nodes
        check the credential; a real rvi_core that connects over TLS also compares them with its address.

        Raises:
            ValueError: a host is neither a name nor an address.
        """
        certified = list(dict.fromkeys([*hosts, socket.gethostname(), "localhost", "127.0.0.1", "::1"]))
        self.issue(folder, "backend", receive=[BACKEND_PREFIX], invoke=[VEHICLE_PREFIX], hosts=certified)

    def issue_vehicle(self, vin: str, folder: Path, *, key: PrivateKey | None = None) -> None:
        """Write the identity of a vehicle's node, which receives for its own VIN alone and sends to the backend.

        Without ``key`` a new RSA key is made; a P-256 key is a thousand times faster to make.

        Raises:
            ValueError: the VIN is invalid, or the key is too weak.
        """
        _check_vin(vin)
        self.issue(folder, vin, receive=[f"{VEHICLE_PREFIX}{vin}/"], invoke=[BACKEND_PREFIX], key=key)

    def issue(
        self,
        folder: Path,
        name: str,
        *,
        receive: Sequence[str],
        invoke: Sequence[str],
        key: PrivateKey | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        """Write a node's identity to ``folder``: key, certificate (for these hosts), credential (with these rights).

        Raises:
            ValueError: a host is neither a name nor an address, or the key is too weak.
        """
        private_folder(folder)
        key, certificate = self.sign_device(name, key, hosts=hosts)
        now = datetime.now(UTC)
        grant = Grant(name, receive, invoke, now - EARLY, now + DEVICE_LIFETIME)
        write_atomic(folder / "device.key", key_pem(key), mode=0o600)
        write_atomic(folder / "device.pem", certificate.public_bytes(Encoding.PEM))
        write_atomic(folder / "root.pem", self.anchors_pem)
        write_atomic(folder / "credential.jwt", self.sign_credential(grant, certificate).encode())

    def sign_request(self, vin: str, request: str, lifetime: timedelta = DEVICE_LIFETIME) -> Issued:
        """Return a vehicle's identity for the key of a request (PKCS #10, PEM); the name in the request is ignored.

        Raises:
            ValueError: the VIN or the request is invalid, its signature is wrong, or its key is too weak.
        """
        _check_vin(vin)
        key = read_request(request)
        certificate = self._sign(vin, key, lifetime)
        now = datetime.now(UTC)
        grant = Grant(vin, [f"{VEHICLE_PREFIX}{vin}/"], [BACKEND_PREFIX], now - EARLY, now + lifetime)
        der = certificate.public_bytes(Encoding.DER)
        return Issued(
            certificate=certificate.public_bytes(Encoding.PEM).decode(),
            credential=self.sign_credential(grant, certificate),
            credential_id=credential_id(der),
            fingerprint=_sha256(der),
            public_key=_sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
            issuer=self.issuer,
            not_after=grant.stop,
        )

    def sign_device(
        self, name: str, key: PrivateKey | None = None, *, hosts: Sequence[str] = ()
    ) -> tuple[PrivateKey, x509.Certificate]:
        """Return a device's key, new if none is given, and a certificate for it."""
        key = key or rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        return key, self._sign(name, key.public_key(), DEVICE_LIFETIME, hosts)

    def sign_credential(self, grant: Grant, certificate: x509.Certificate) -> str:
        """Return a signed credential that is bound to this certificate."""
        der = certificate.public_bytes(Encoding.DER)
        claims = {
            "iss": "SOTA",
            "id": credential_id(der),
            "right_to_receive": list(grant.receive),
            "right_to_invoke": list(grant.invoke),
            "create_timestamp": int(datetime.now(UTC).timestamp()),
            "device_cert": base64.b64encode(der).decode(),
            "validity": {"start": int(grant.start.timestamp()), "stop": int(grant.stop.timestamp())},
        }
        return jwt.encode({"typ": "JWT", "alg": "RS256"}, claims, self._signing_key, algorithms=["RS256"])

    def _sign(self, name: str, key: PublicKey, lifetime: timedelta, hosts: Sequence[str] = ()) -> x509.Certificate:
        builder = _builder(_named(name), self.certificate.subject, _check_key(key), lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_alternative_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def prepare(folder: Path) -> None:
    """Create the successor of a folder's authority: a trust anchor that does not sign yet.

    Raises:
        ValueError: there is a successor already, or the predecessor has not been retired yet.
    """
    if (folder / "next.pem").exists() or (folder / "previous.pem").exists():
        raise ValueError(f"in {folder} one authority is already taking over from another")
    _keep(Authority.create(), folder / "next.key", folder / "next.pem")


def switch(folder: Path) -> None:
    """Sign with the successor from now on: the old key is destroyed, its certificate stays a trust anchor.

    Raises:
        ValueError: there is no successor.
    """
    if not ((folder / "next.key").exists() and (folder / "next.pem").exists()):
        raise ValueError(f"{folder} has no successor: prepare one first")
    write_atomic(folder / "previous.pem", (folder / "root.pem").read_bytes())
    write_atomic(folder / "switching", b"")
    finish_switch(folder)


def finish_switch(folder: Path) -> None:
    """Complete an interrupted switch; each step may be repeated."""
    if not (folder / "switching").exists():
        return
    for name in ("key", "pem"):
        if (folder / f"next.{name}").exists():
            (folder / f"next.{name}").replace(folder / f"root.{name}")
    sync_folder(folder)
    (folder / "switching").unlink()
    sync_folder(folder)


def retire(folder: Path) -> None:
    """Remove the predecessor from the trust anchors: identities that it alone signed are no longer trusted.

    Raises:
        ValueError: there is no predecessor.
    """
    if not (folder / "previous.pem").exists():
        raise ValueError(f"{folder} has no predecessor")
    (folder / "previous.pem").unlink()
    sync_folder(folder)


def read_request(request: str) -> PublicKey:
    """Return the key of a certificate signing request.

    Raises:
        ValueError: it is malformed, its signature is wrong, or its key is too weak.
    """
    if len(request) > MAX_REQUEST_BYTES:
        raise ValueError("the certificate signing request is too long")
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key, holds = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"not a certificate signing request in PEM: {error}") from None
    if not holds:
        raise ValueError("the certificate signing request is not signed by its own key")
    return _check_key(key)


def make_request(vin: str) -> tuple[bytes, str]:
    """Return a new key for a vehicle (PEM) and the certificate signing request for it (PEM)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    request = x509.CertificateSigningRequestBuilder().subject_name(_named(vin)).sign(key, hashes.SHA256())
    return key_pem(key), request.public_bytes(Encoding.PEM).decode()


def key_pem(key: PrivateKey) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def credential_id(certificate: bytes) -> str:
    """Return the id of the credential bound to a certificate (DER): unique, and it does not reveal the VIN."""
    return f"credential-{_sha256(certificate)[:32]}"


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if _HOST_NAME.fullmatch(host) is None:
            raise ValueError(f"{host!r} is neither a host name nor an IP address") from None
        return x509.DNSName(host)


def _check_vin(vin: str) -> None:
    if not is_vin(vin):
        raise ValueError(f"{vin!r} is not a VIN: 17 capital letters and digits")


def _check_key(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and KEY_BITS <= key.key_size <= 4 * KEY_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    what = f", not RSA of {key.key_size} bits" if isinstance(key, rsa.RSAPublicKey) else ""
    raise ValueError(f"the key must be RSA of at least {KEY_BITS} bits, or of P-256 or P-384{what}")


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _common_name(subject: x509.Name) -> str:
    return next((str(found.value) for found in subject.get_attributes_for_oid(NameOID.COMMON_NAME)), "")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _keep(authority: Authority, key_file: Path, root_file: Path) -> None:
    write_atomic(key_file, key_pem(authority._key), mode=0o600)
    write_atomic(root_file, authority.root_pem)


def _builder(subject: x509.Name, issuer: x509.Name, key: PublicKey, lifetime: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
