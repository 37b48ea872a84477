"""Verifies RS256 tokens (RFC 7515, RSASSA-PKCS1-v1_5 with SHA-256) with the standard library alone.

It only verifies and never signs: it handles no secret, so its timing can leak none. The signature is raised to the
public exponent, and the result is compared byte by byte with the one correct encoding (RFC 8017, 8.2.2). Nothing is
parsed, because parsing is where such checks have failed. docs/decisions/0012 says what this saves in a vehicle.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

# DER of SHA-256's AlgorithmIdentifier and the beginning of the digest (RFC 8017, 9.2, note 1).
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
MIN_BITS = 2048
"""Smallest RSA key that is accepted, of a token and of a certificate."""
Claims = dict[str, Any]
"""A JSON object, whose values are not checked yet, so they are Any."""
_OBJECT = msgspec.json.Decoder(Claims)


class BadToken(ValueError):
    """The token is malformed, its key is too small, or the key did not sign it."""


def verify(token: str, key: tuple[int, int]) -> Claims:
    """Return the claims of a token that this key (modulus, exponent) signed.

    Raises:
        BadToken: with the reason.
    """
    check_size(key[0])
    parts = token.encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        raise BadToken("a token has three parts")
    head, payload, signature = parts
    header = _object(head)
    if header.get("alg") != "RS256":
        raise BadToken("the algorithm is not RS256")
    if "crit" in header or header.get("b64", True) is not True:
        raise BadToken("the header asks for an extension that is not supported")
    if not is_signed(head + b"." + payload, _bytes(signature), key):
        raise BadToken("bad signature")
    return _object(payload)


def is_signed(content: bytes, signature: bytes, key: tuple[int, int]) -> bool:
    """Report whether the owner of this public key signed this content (RFC 8017, 8.2.2)."""
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        return False
    ending = b"\0" + SHA256_PREFIX + hashlib.sha256(content).digest()
    expected = b"\0\1" + b"\xff" * (size - 2 - len(ending)) + ending
    return pow(number, exponent, modulus).to_bytes(size, "big") == expected


def check_size(modulus: int) -> None:
    """Refuse an RSA key that is too small to be trusted.

    Raises:
        BadToken: with its size and the smallest one that is accepted.
    """
    if modulus.bit_length() < MIN_BITS:
        raise BadToken(f"the RSA key has {modulus.bit_length()} bits; at least {MIN_BITS} are required")


def _bytes(part: bytes) -> bytes:
    if b"=" in part:
        raise BadToken("a part is padded")
    try:
        return base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)
    except binascii.Error:
        raise BadToken("a part is not base64url") from None


def _object(part: bytes) -> Claims:
    try:
        return _OBJECT.decode(_bytes(part))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadToken("a part is not a JSON object") from None
