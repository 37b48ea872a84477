"""Bodies of B7 and B9 about a vehicle's identity: it asks for its renewal, and gets what it needs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sota.boundaries.values import Message, Sha256, Vin

Pem = Annotated[str, Meta(max_length=65_536, description="PEM")]
CertificateRequest = Annotated[
    str, Meta(min_length=1, max_length=16_384, description="a certificate signing request (PKCS #10) in PEM")
]
Credential = Annotated[str, Meta(min_length=1, max_length=65_536, description="a credential: a JWT")]


class RenewIdentity(Message, frozen=True):
    """``renew``: the vehicle is there with this identity. With a request it asks for another one, for the key in it.

    ``anchors`` is the SHA-256 of the trust anchors that it has, its file ``root.pem``; ``expires_at`` (unix seconds) is
    when its credential says that it ends: whether that is soon, Core decides by its own clock.
    """

    vin: Vin
    anchors: Sha256
    expires_at: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None
    request: CertificateRequest | None = None


class NewIdentity(Message, frozen=True):
    """``identity``: what the vehicle is to change. ``due``: it should ask for another identity with a new key."""

    due: bool = False
    anchors: Pem | None = None
    certificate: Pem | None = None
    credential: Credential | None = None
