"""Bodies of B2 and B1 about the identities of vehicles: enrolment, codes, revocation, the authority."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from sota.boundaries.b7_core_rvi.identity_messages import CertificateRequest, Credential, Pem
from sota.boundaries.values import Id, Instant, Message, Request, Sha256, ShortText, Vin

Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{20,64}$(?!\n)", description="a one-time code")]


class IssuedBy(StrEnum):
    """How a vehicle came by an identity."""

    OPERATOR = "operator"
    CODE = "code"
    RENEWAL = "renewal"


class NewEnrolment(Request, frozen=True):
    """An identity for a vehicle. Without ``request`` Core makes the key too, and keeps nothing of it.

    ``replace``: what the vehicle has had until now is revoked at once (another unit was built in).
    """

    request: CertificateRequest | None = None
    replace: bool = False


class Enrolled(Message, frozen=True):
    """An identity: what goes into ``device.pem``, ``credential.jwt``, ``root.pem`` and, made here, ``device.key``."""

    message: str
    identity_id: Id
    vin: Vin
    certificate: Pem
    credential: Credential
    anchors: Pem
    expires_at: Instant
    revoked: int
    key: Pem | None = None


class Identity(Message, frozen=True):
    """What is known of an identity; ``issuer`` and ``fingerprint`` are the SHA-256 of certificates."""

    identity_id: Id
    vin: Vin
    fingerprint: Sha256
    credential_id: ShortText
    issuer: Sha256
    issued_by: IssuedBy
    issued_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None
    revoked_because: str | None = None


class NewCode(Request, frozen=True):
    """A one-time enrolment code, valid for ``valid_s`` seconds."""

    valid_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400


class EnrolmentCode(Message, frozen=True):
    """A one-time code: a client that sends it gets the vehicle's identity for its own key."""

    message: str
    vin: Vin
    code: Code
    expires_at: Instant


class CodeEnrolment(Request, frozen=True):
    """A vehicle's own request, with the code that it was given."""

    vin: Vin
    code: Code
    request: CertificateRequest


class Revocation(Request, frozen=True):
    """Why identities of a vehicle are to count no more: the one named, all of them without a name."""

    reason: Annotated[str, Meta(min_length=1, max_length=400)]
    identity_id: Id | None = None


class Revoked(Message, frozen=True):
    """How many of the identities that Core issued count no more.

    ``barred``: nor does any other of the vehicle, whatever issued it, until it is enrolled again.
    """

    message: str
    vin: Vin
    revoked: int
    barred: bool = False


class RevokedEntry(Message, frozen=True):
    """A line of the revocation list, needed until it expires.

    It is a certificate's SHA-256, a credential's id, or a VIN, of which no identity counts; ``VIN+CREDENTIAL`` lets one
    of them count all the same.
    """

    entry: Annotated[str, Meta(max_length=100)]
    revoked_at: Instant
    until: Instant


class Anchor(Message, frozen=True):
    """A trust anchor, and how many valid identities of vehicles it signed. ``signing``: it signs new ones."""

    fingerprint: Sha256
    name: str
    signing: bool
    identities: int


class AuthorityState(Message, frozen=True):
    """The trust anchors: one, or two while one takes over from the other; ``anchors`` is the file ``root.pem``."""

    entries: list[Anchor]
    anchors: Pem
