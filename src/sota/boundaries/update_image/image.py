"""The file of an update image: a flat tar of ``manifest.json``, ``signature.json`` and the files, in this order.

The signature is a DSSE envelope over the manifest's bytes; the manifest has size and SHA-256 of every file. So the
signature covers everything, and each file is checked when it is taken out. Nothing is unpacked by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.update_image.manifest import MANIFEST_LIMIT, Manifest, encode, parse
from sota.boundaries.values import EnvelopeSignature
from sota.kit.errors import Invalid, Refused
from sota.kit.files import durable, flat_tar
from sota.kit.files.flat_tar import TarEntry

if TYPE_CHECKING:  # a vehicle waits without its libraries
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
SIGNATURE_LIMIT = 4 * MANIFEST_LIMIT
PAYLOAD_TYPE = "application/vnd.sota.image-manifest+json"


class ImageSignature(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}, forbid_unknown_fields=True):
    """``signature.json``: a DSSE envelope whose payload is the manifest, in base64."""

    payload: str
    payload_type: str
    signatures: Annotated[list[EnvelopeSignature], Meta(min_length=1, max_length=8)]


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was read: its manifest, and where its files are. ``signature`` None: it is not signed."""

    path: Path
    manifest: Manifest
    manifest_bytes: bytes
    signature: Mapping[str, object] | None
    entries: Mapping[str, TarEntry]

    def take_out(self, name: str, target: Path) -> None:
        """Copy one of its files out to ``target``, durable when this returns.

        Raises:
            Refused: ``verification_failed``: it is not the file that the manifest names.
            OSError: the disk is full or fails.
        """
        expected = next(file for file in self.manifest.files if file.name == name)
        digest = hashlib.sha256()
        temporary = target.with_name(f".{target.name}.new")
        try:
            with temporary.open("wb") as file:
                for part in flat_tar.content(self.path, self.entries[name]):
                    digest.update(part)
                    file.write(part)
                file.flush()
                durable.sync(file.fileno())
            if digest.hexdigest() != expected.sha256:
                raise Refused("verification_failed", f"{name} is damaged: its SHA-256 is not that of the manifest.")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        durable.sync_folder(target.parent)

    def check_files(self) -> None:
        """Check the SHA-256 of every file.

        Raises:
            Refused: ``verification_failed``.
        """
        for file in self.manifest.files:
            if flat_tar.sha256(flat_tar.content(self.path, self.entries[file.name])) != file.sha256:
                raise Refused("verification_failed", f"{file.name} is damaged: its SHA-256 differs.")

    def check_signature(self, keys: Sequence[Ed25519PublicKey]) -> str:
        """Check that a known key signed the manifest; return that key's id.

        Raises:
            Refused: ``verification_failed``.
        """
        from sota.boundaries.package_signature import verify_payload  # a vehicle waits without its libraries

        if self.signature is None:
            raise Refused("verification_failed", "The image is not signed.")
        payload, key = verify_payload(self.signature, keys, PAYLOAD_TYPE)
        if payload != self.manifest_bytes:
            raise Refused("verification_failed", "The signature is for another manifest.")
        return key


def read_image(path: Path) -> Image:
    """Read an image without trusting it; :meth:`Image.check_signature` says whether to.

    Raises:
        Invalid: it is not an image.
    """
    entries = flat_tar.read(path)
    names = [entry.name for entry in entries]
    if not names or names[0] != MANIFEST or entries[0].size > MANIFEST_LIMIT:
        raise Invalid(f"It does not begin with {MANIFEST}.")
    content = _read(path, entries[0])
    manifest = parse(content)
    rest = entries[1:]
    signature = None
    if rest and rest[0].name == SIGNATURE:
        if rest[0].size > SIGNATURE_LIMIT:
            raise Invalid("The signature is too long.")
        signature = _read_signature(_read(path, rest[0]))
        rest = rest[1:]
    if [(entry.name, entry.size) for entry in rest] != [(file.name, file.size) for file in manifest.files]:
        raise Invalid("The files in it are not those that the manifest names, in its order and sizes.")
    return Image(path, manifest, content, signature, {entry.name: entry for entry in rest})


def write_image(
    target: IO[bytes], manifest: Manifest, files: Mapping[str, Path], sign: Callable[[bytes], object]
) -> None:
    """Write an image; ``sign`` gets the manifest's bytes and gives the envelope, or None for an unsigned image.

    The caller fills in the manifest's sizes and hashes (:func:`sota.kit.files.flat_tar.sha256`). The same input makes
    the same bytes.

    Raises:
        Invalid: a file is not the one that the manifest names.
    """
    content = encode(manifest)
    parse(content)
    for file in manifest.files:
        if files[file.name].stat().st_size != file.size:
            raise Invalid(f"{file.name} has not the size that the manifest says.")
    envelope = sign(content)
    signed = [] if envelope is None else [(SIGNATURE, msgspec.json.encode(envelope, order="sorted"))]
    entries: list[tuple[str, Path | bytes]] = [
        (MANIFEST, content),
        *signed,
        *((file.name, files[file.name]) for file in manifest.files),
    ]
    flat_tar.write(target, entries)


def sign_manifest(key: Ed25519PrivateKey, manifest: bytes) -> dict[str, object]:
    """Sign a manifest's bytes; return the envelope."""
    from sota.boundaries.package_signature import sign_payload

    return sign_payload(key, manifest, PAYLOAD_TYPE)


def _read(path: Path, entry: TarEntry) -> bytes:
    return b"".join(flat_tar.content(path, entry))


def _read_signature(content: bytes) -> Mapping[str, object]:
    try:
        found: Mapping[str, object] = msgspec.to_builtins(msgspec.json.decode(content, type=ImageSignature))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The signature is no DSSE envelope: {error}.") from None
    return found
