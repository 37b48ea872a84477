"""Signatures of packages: DSSE envelopes by Ed25519 over name, version, size, SHA-256, installer and target.

The envelope travels beside the package. A vehicle trusts only the keys in its own folder, and compares every signed
field with what it received. (DSSE: https://github.com/secure-systems-lab/dsse; the payload type is ours.)
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SignatureError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from sota.kit.errors import Refused, StartError
from sota.kit.files.durable import write_atomic

PAYLOAD_TYPE = "application/vnd.sota.package+json"
MAX_SIGNATURES = 8


@dataclass(frozen=True, slots=True)
class SignedFields:
    """What a signature covers. ``target`` is the unit in the vehicle, empty if there is only one."""

    name: str
    version: str
    size: int
    sha256: str
    installer: str
    target: str = ""


def sign(key: Ed25519PrivateKey, fields: SignedFields) -> dict[str, object]:
    """Return the envelope over a package's fields."""
    return sign_payload(key, _canonical(fields), PAYLOAD_TYPE)


def verify(envelope: object, keys: Iterable[Ed25519PublicKey], expected: SignedFields) -> str:
    """Check that a known key signed exactly these fields, and return that key's id.

    Raises:
        Refused: ``verification_failed``, with the reason.
    """
    payload, key = verify_payload(envelope, keys, PAYLOAD_TYPE)
    if payload != _canonical(expected):
        raise Refused("verification_failed", "The signature is for another package: its fields do not match.")
    return key


def sign_payload(key: Ed25519PrivateKey, payload: bytes, payload_type: str) -> dict[str, object]:
    """Return the envelope over any bytes; ``payload_type`` says what they are, and is signed with them."""
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(CryptoSigner(key, _known_key(key.public_key())))
    result: dict[str, object] = envelope.to_dict()
    return result


def verify_payload(envelope: object, keys: Iterable[Ed25519PublicKey], payload_type: str) -> tuple[bytes, str]:
    """Return an envelope's content and the id of the known key that signed it.

    Raises:
        Refused: ``verification_failed``, with the reason.
    """
    known: list[Key] = [_known_key(key) for key in keys]
    if not known:
        raise Refused("verification_failed", "There is no trusted key to check a signature with.")
    try:
        if not isinstance(envelope, dict):
            raise TypeError("an envelope is a JSON object")
        if len(envelope["signatures"]) > MAX_SIGNATURES:
            raise Refused("verification_failed", "Too many signatures.")
        parsed = Envelope.from_dict(copy.deepcopy(envelope))  # from_dict changes what it is given
        if parsed.payload_type != payload_type:
            raise Refused("verification_failed", "The signature is for something other than a package.")
        accepted = parsed.verify(known, 1)
    except SignatureError:
        raise Refused("verification_failed", "No trusted key signed this package.") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused("verification_failed", "The signature is not a DSSE envelope.") from None
    return parsed.payload, next(iter(accepted))


def key_id(key: Ed25519PublicKey) -> str:
    """Return the id of a key: the SHA-256 of its raw bytes, as 64 hex digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def load_public_keys(folder: Path) -> list[Ed25519PublicKey]:
    """Read every ``*.pub.pem`` of a folder.

    Raises:
        StartError: one is not an Ed25519 public key.
    """
    keys = []
    # Not by glob, which takes as long as checking a signature.
    files = folder.iterdir() if folder.is_dir() else ()
    for path in sorted(file for file in files if file.name.endswith(".pub.pem")):
        key = _read_key(path.read_bytes())
        if key is None:
            raise StartError(f"{path} is not an Ed25519 public key in PEM")
        keys.append(key)
    return keys


@functools.lru_cache(maxsize=64)  # all vehicles of a fleet have the same keys
def _read_key(content: bytes) -> Ed25519PublicKey | None:
    try:
        key = serialization.load_pem_public_key(content)
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def make_key_pair(folder: Path, name: str = "packages") -> Ed25519PrivateKey:
    """Write a new signing key to ``<name>.key.pem`` (owner only) and ``<name>.pub.pem``, and return it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_atomic(folder / f"{name}.key.pem", private, mode=0o600)
    write_atomic(folder / f"{name}.pub.pem", public, mode=0o644)
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a signing key.

    Raises:
        StartError: it is missing, or not an Ed25519 private key without a passphrase.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StartError(f"signing key {path}: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise StartError(f"signing key {path}: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StartError(f"signing key {path} is not Ed25519")
    return key


def _canonical(fields: SignedFields) -> bytes:
    return msgspec.json.encode(fields, order="sorted")


def _known_key(key: Ed25519PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(key, keyid=key_id(key))
