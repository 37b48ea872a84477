"""Package files as an operator has them: a real Debian package, its metadata, its signature."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.package_signature import SignedFields, sign
from sota.boundaries.values import PackageId, SignatureEnvelope
from tests.support.debs import build

CHUNK = 1 << 18
Signature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DebFile:
    """A package file and what is said about it."""

    id: PackageId
    file: Path
    dependencies: tuple[PackageId, ...] = ()

    @classmethod
    def build(
        cls,
        folder: Path,
        name: str,
        version: str,
        *,
        needs: tuple[PackageId, ...] = (),
        postinst: str = "",
        payload_bytes: int = 1000,
    ) -> DebFile:
        """Make a package; ``needs`` are minimum versions, for dpkg and for the upload alike."""
        depends = ", ".join(f"{one.name} (>= {one.version})" for one in needs)
        file = build(folder, name, version, depends=depends, postinst=postinst, payload_bytes=payload_bytes)
        return cls(PackageId(name=name, version=version), file, needs)

    def signed_by(self, key: Ed25519PrivateKey) -> Signature:
        """Sign it."""
        return self.signed_as(key, "deb")

    def signed_as(self, key: Ed25519PrivateKey, installer: str) -> Signature:
        """Sign it for an installer."""
        with self.file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        return sign(key, SignedFields(self.id.name, self.id.version, self.file.stat().st_size, sha256, installer))

    def metadata(self, signature: Signature | None) -> PackageMetadata:
        """Return the metadata of its upload."""
        return PackageMetadata(
            name=self.id.name,
            version=self.id.version,
            signature=msgspec.convert(signature, SignatureEnvelope) if signature is not None else None,
            dependencies=list(self.dependencies),
        )

    async def parts(self) -> AsyncIterator[bytes]:
        """Read the file part by part."""
        with self.file.open("rb") as content:
            while part := content.read(CHUNK):
                yield part
