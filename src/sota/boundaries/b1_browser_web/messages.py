"""Bodies of B1 that are its own (sign-in, upload); what the Web Server passes on has those of B2 and B3."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sota.boundaries.values import (
    Description,
    Installer,
    Message,
    PackageId,
    PackageName,
    Request,
    Sha256,
    ShortText,
    SignatureEnvelope,
    Target,
    Version,
)


class Credentials(Request, frozen=True):
    """What a user enters to sign in, as a form or as JSON."""

    username: Annotated[str, Meta(min_length=1, max_length=200)]
    password: Annotated[str, Meta(min_length=1, max_length=1000)]


class SignedIn(Message, frozen=True):
    """The answer to credentials that came as JSON. The session itself is in the cookie."""

    username: str
    role: str
    csrf_token: str
    password_change_due: bool = False


Json = dict[str, Any]  # OpenAPI's members are of many types


class ApiDocument(Message, frozen=True):
    """An OpenAPI document: the members that every one has."""

    openapi: str
    info: Json
    paths: Json


class PackageMetadata(Request, frozen=True):
    """The part ``metadata`` of an upload; ``file`` follows it. Without ``installer`` the file itself tells which."""

    name: PackageName
    version: Version
    description: Description = ""
    vendor: ShortText = ""
    sha256: Sha256 | None = None
    signature: SignatureEnvelope | None = None
    installer: Installer | None = None
    target: Target | None = None
    dependencies: Annotated[list[PackageId], Meta(max_length=200)] = msgspec.field(default_factory=list)
