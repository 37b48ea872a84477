"""Credentials: what a node may receive and invoke, signed by the trust anchor (JWT, RS256).

Rules kept here:

* a credential is valid only if the trust anchor's key signed it, the present time is within its validity, and it names
  the certificate that the peer presented on its TLS connection: a stolen credential is worthless without the device's
  key;
* an invalid credential affects only itself: the peer's others are read all the same;
* rights end with their credential, even on a connection that has been open for months. Only a node whose clock may be
  wrong ignores the time (docs/decisions/0014);
* the aliases of older authorities are understood (``sources``, ``destinations`` …).

Over plain TCP there is no certificate to compare, so a credential there is a bearer token: that link is only for old
nodes on a private network.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sota.boundaries.services import VEHICLE_PREFIX, is_vin
from sota.kit.files.durable import finish_replacing
from sota.kit.security import rs256, x509
from sota.rvi.names import Pattern

MAX_CREDENTIAL_BYTES = 64 << 10
MAX_CREDENTIALS = 16
MAX_REMEMBERED = 256
MAX_ANCHORS = 8
RECEIVE_NAMES = ("right_to_receive", "right_to_register", "sources", "register")
INVOKE_NAMES = ("right_to_invoke", "destinations", "invoke")


Claims = Mapping[str, Any]  # JSON that is checked where it is used


class CredentialError(Exception):
    """A refused credential; the text says why."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential with a valid signature."""

    id: str
    receive: tuple[Pattern, ...]
    invoke: tuple[Pattern, ...]
    start: float
    stop: float
    certificate: bytes
    token: str
    signer: tuple[int, int] = (0, 0)
    """The trust anchor's key that signed it: modulus and exponent."""

    def is_valid(self, now: float) -> bool:
        """Report whether the time is within the validity."""
        return self.start < now < self.stop


class TrustAnchor:
    """The certificates of authorities that sign credentials: one, or two while one replaces another."""

    def __init__(self, pem: bytes) -> None:
        """Read the certificates of ``root.pem``.

        Raises:
            CredentialError: there is none, or one has no usable RSA key.
        """
        try:
            self._keys = [x509.rsa_key(certificate) for certificate in x509.read_pem(pem)]
        except ValueError as error:
            raise CredentialError(f"the trust anchor is no certificate with an RSA key: {error}") from None
        if len(self._keys) > MAX_ANCHORS:
            raise CredentialError(f"more than {MAX_ANCHORS} trust anchors")

    def read(self, token: object, *, now: float | None, certificate: bytes | None) -> Credential:
        """Read a credential; check its signature, validity and the certificate it is bound to (None: there is none).

        ``now`` is None where the clock is not trusted: then the credential never expires.

        Raises:
            CredentialError: it is not trusted; says why.
        """
        if not isinstance(token, str) or len(token) > MAX_CREDENTIAL_BYTES:
            raise CredentialError("not a credential")
        claims, signer = self._claims(token.strip())
        credential = replace(_read_claims(claims, token.strip()), signer=signer)
        if now is None:
            credential = replace(credential, start=-math.inf, stop=math.inf)
        elif not credential.is_valid(now):
            raise CredentialError(f"credential {credential.id!r} is expired or not yet valid")
        if certificate is not None and credential.certificate != certificate:
            raise CredentialError(f"credential {credential.id!r} belongs to another certificate than the peer's")
        return credential

    def signed(self, credential: Credential) -> bool:
        """Report whether a current authority signed a credential that was read earlier."""
        return credential.signer in self._keys

    def _claims(self, token: str) -> tuple[Claims, tuple[int, int]]:
        reason = ""
        for key in self._keys:
            try:
                return rs256.verify(token, key), key
            except rs256.BadToken as error:
                reason = str(error)
        raise CredentialError(f"not signed by the trust anchor: {reason}")


class Rights:
    """The rights that a node's credentials give it."""

    __slots__ = ("_invoked", "credentials", "vin")

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        """Take checked credentials; ``vin`` is the one vehicle that they are for, if it is one."""
        self.credentials = tuple(credentials)
        vins = {pattern.vin for credential in self.credentials for pattern in credential.receive}
        self.vin = vins.pop() if len(vins) == 1 else None
        self._invoked: dict[str, Credential] = {}

    @classmethod
    def of_peer(cls, credentials: Iterable[Credential]) -> Rights:
        """Return a peer's rights without tokens and certificates, which would take memory for thousands of peers."""
        return cls(replace(credential, token="", certificate=b"") for credential in credentials)

    def to_invoke(self, name: str, now: float) -> Credential | None:
        """Return the credential that lets its owner send to this service; remembered, since every message needs it."""
        known = self._invoked.get(name)
        if known is not None and known.is_valid(now):
            return known
        found = next((c for c in self.credentials if c.is_valid(now) and any(p.matches(name) for p in c.invoke)), None)
        if found is not None:
            if len(self._invoked) >= MAX_REMEMBERED:
                self._invoked.clear()
            self._invoked[name] = found
        return found

    def to_receive(self, name: str, now: float) -> Credential | None:
        """Return the credential that lets its owner offer this service."""
        return next((c for c in self.credentials if c.is_valid(now) and any(p.matches(name) for p in c.receive)), None)

    def vin_behind(self, certificate: bytes | None) -> str | None:
        """Return the one vehicle that this is, by its credentials, or by its certificate if they allow several."""
        if self.vin is not None or certificate is None:
            return self.vin
        vin = vin_in_certificate(certificate)
        return vin if vin and self.to_receive(f"{VEHICLE_PREFIX}{vin}", time.time()) is not None else None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node presents to others: certificate, key and credentials, read from its folder."""

    anchor: TrustAnchor
    folder: Path
    rights: Rights

    @classmethod
    def read(cls, folder: Path, now: float | None) -> Identity:
        """Read ``root.pem``, ``device.pem``, ``device.key`` and every ``*.jwt`` of a folder.

        Raises:
            CredentialError: a file is missing, or no credential is valid.
        """
        try:
            finish_replacing(folder)  # a renewal that was interrupted (client/identity_renewal.py)
            anchor = TrustAnchor((folder / "root.pem").read_bytes())
            # In DER, as TLS presents it: the first, if a chain to the trust anchor follows.
            certificate = x509.read_pem((folder / "device.pem").read_bytes())[0]
            tokens = {file.name: file.read_text("ascii").strip() for file in sorted(folder.glob("*.jwt"))}
        except (OSError, ValueError) as error:
            raise CredentialError(f"cannot read the identity in {folder}: {error}") from None
        credentials, reasons = read_all(anchor, tokens.values(), now=now, certificate=certificate)
        if not credentials:
            why = "; ".join(reasons) or "there is no *.jwt file"
            raise CredentialError(f"no valid credential in {folder}: {why}")
        return cls(anchor, folder, Rights(credentials))


def read_all(
    anchor: TrustAnchor, tokens: Iterable[object], *, now: float | None, certificate: bytes | None
) -> tuple[list[Credential], list[str]]:
    """Read the credentials that a node presents: the valid ones, and why the others are refused."""
    good: list[Credential] = []
    reasons: list[str] = []
    for number, token in enumerate(tokens):
        if number == MAX_CREDENTIALS:
            reasons.append(f"more than {MAX_CREDENTIALS} credentials")
            break
        try:
            good.append(anchor.read(token, now=now, certificate=certificate))
        except CredentialError as error:
            reasons.append(str(error))
    return good, reasons


def vin_in_certificate(der: bytes) -> str | None:
    """Return the VIN that is the common name of a device's certificate, if it is one."""
    try:
        name = x509.common_name(der) or ""
    except ValueError:
        return None
    return name if is_vin(name) else None


def _read_claims(claims: Claims, token: str) -> Credential:
    try:
        validity = claims["validity"]
        start, stop = float(validity["start"]), float(validity["stop"])
        certificate = base64.b64decode("".join(claims["device_cert"].split()), validate=True)
        name = str(claims.get("id", ""))[:200]
        receive, invoke = _patterns(claims, RECEIVE_NAMES), _patterns(claims, INVOKE_NAMES)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CredentialError(f"a claim is missing or malformed: {error}") from None
    return Credential(name, receive, invoke, start, stop, certificate, token)


def _patterns(claims: Claims, names: tuple[str, ...]) -> tuple[Pattern, ...]:
    texts = next((claims[name] for name in names if name in claims), None)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError(names[0])
    return tuple(Pattern.read(text) for text in texts)
