"""Certificates and TLS contexts of servers: TLS 1.2 or later, self-signed if the operator provides none.

A certificate can be replaced while the server runs: :class:`ServerCertificate` reloads the files when they change, and
new connections get the new certificate.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sota.kit.errors import StartError
from sota.kit.files.durable import stamp_of, write_atomic
from sota.kit.runtime.logging import get_logger
from sota.kit.security.rs256 import MIN_BITS

SELF_SIGNED_FOR, RENEWED_BEFORE = timedelta(days=365), timedelta(days=30)


def ensure_certificate(
    folder: Path, names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"), *, now: datetime | None = None
) -> tuple[Path, Path]:
    """Return the certificate and key in ``folder``; without one, make a self-signed pair (ECDSA P-256, one year).

    A pair that expires within a month is replaced.
    """
    certificate_path, key_path = folder / "web.pem", folder / "web.key"
    now = now or datetime.now(UTC)
    if _is_usable(certificate_path, key_path) and time_left(certificate_path, now) > RENEWED_BEFORE:
        return certificate_path, key_path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + SELF_SIGNED_FOR)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomic(key_path, private, mode=0o600)
    write_atomic(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_path, key_path


def time_left(certificate: Path, now: datetime) -> timedelta:
    """Return how long a certificate is still valid: zero if it cannot be read."""
    try:
        ends_at = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return timedelta()
    return ends_at - now


def names_in(certificate: Path) -> frozenset[str]:
    """Return the host names and addresses that a certificate is for, in lower case."""
    try:
        extensions = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return frozenset()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return frozenset({*(name.lower() for name in names.get_values_for_type(x509.DNSName)), *addresses})


def _is_usable(certificate: Path, key: Path) -> bool:
    """Report whether both files exist, are valid and belong together."""
    if not (certificate.exists() and key.exists()):
        return False
    try:
        serving(certificate, key)
    except ssl.SSLError as error:
        get_logger().error("server_certificate_damaged", certificate=str(certificate), detail=reason(error))
        return False
    return True


def serving(certificate: Path, key: Path, callers: Path | None = None) -> ssl.SSLContext:
    """Return a server context with this certificate chain; ``callers`` is the authority that clients must have.

    Raises:
        OSError: a file cannot be read, is not PEM, or its key is too small or of another certificate.
    """
    for file in (certificate, callers):
        if file is not None:
            _check_keys(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=lambda: "")  # never prompt on a terminal
    if callers is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(callers)
    return context


class SmallKeyError(ssl.SSLError):
    """A certificate has an RSA key of less than 2048 bits."""


def _check_keys(certificates: Path) -> None:
    with contextlib.suppress(ValueError):  # ssl reports what is not PEM
        for certificate in x509.load_pem_x509_certificates(certificates.read_bytes()):
            key = certificate.public_key()
            if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_BITS:
                raise SmallKeyError(1, f"the RSA key has {key.key_size} bits; at least {MIN_BITS} are required")


class ServerCertificate:
    """A server's certificate and key. ``context`` is for the listener and always uses the latest certificate.

    Raises:
        StartError: the files cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, callers: Path | None = None) -> None:
        self._files = (certificate, key, *((callers,) if callers is not None else ()))
        self._log = get_logger(certificate=str(certificate))
        self._seen = [stamp_of(file) for file in self._files]
        try:
            self.context, self._current = serving(*self._files), serving(*self._files)
        except OSError as error:
            files = f"certificate {certificate} with key {key}" + (f" and authority {callers}" if callers else "")
            raise StartError(f"{files} cannot be used: {reason(error)}") from None
        self.context.sni_callback = self._choose
        self.names = names_in(certificate)

    def refresh(self) -> bool:
        """Reload the files if they have changed; report whether there is a new certificate. A broken one is ignored."""
        now = [stamp_of(file) for file in self._files]
        if now == self._seen:
            return False
        self._seen = now
        try:
            self._current = serving(*self._files)
        except OSError as error:
            self._log.error("certificate_not_replaced", reason=reason(error))
            return False
        self.names = names_in(self._files[0])
        self._log.info("certificate_replaced")
        return True

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _own: ssl.SSLContext) -> None:
        # A complete context takes over: certificate and key always belong together.
        connection.context = self._current


def reason(error: OSError) -> str:
    """Return a short reason why a certificate cannot be used."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, SmallKeyError):
        return (error.reason or "not a certificate in PEM").replace("_", " ").lower()
    return error.strerror or str(error)


def trusting(certificate: Path) -> ssl.SSLContext:
    """Return a client context that trusts this certificate (or authority) alone."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as in kit/security/tls_client.py
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
