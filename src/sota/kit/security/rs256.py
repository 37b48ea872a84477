"""Checks a token's RS256 signature (RFC 7515, RSASSA-PKCS1-v1_5 with SHA-256), with what Python has.

Checking only, never signing: there is no secret here, so nothing can leak by the time that it takes. The signature is
raised to the public exponent, and what comes out is compared, byte for byte, with the one encoding that is right
(RFC 8017, 8.2.2); it is not parsed, which is where such checks have gone wrong. docs/decisions/0012 says what it saves.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

# DER of SHA-256's AlgorithmIdentifier and the beginning of the digest (RFC 8017, 9.2, note 1).
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_OBJECT = msgspec.json.Decoder(dict[str, Any])


class BadToken(ValueError):
    """This token is malformed, or this key did not sign it."""


def verify(token: str, key: tuple[int, int]) -> dict[str, Any]:
    """Check a token's signature by a key (modulus, exponent); gives its claims.

    Raises:
        BadToken: it does not hold; says why.
    """
    parts = token.encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        raise BadToken("a token has three parts")
    head, payload, signature = parts
    header = _object(head)
    if header.get("alg") != "RS256":
        raise BadToken("the algorithm is not RS256")
    if "crit" in header or header.get("b64", True) is not True:
        raise BadToken("the header asks for what is not known here")
    if not is_signed(head + b"." + payload, _bytes(signature), key):
        raise BadToken("bad signature")
    return _object(payload)


def is_signed(content: bytes, signature: bytes, key: tuple[int, int]) -> bool:
    """Say whether the owner of this public key signed this content (RFC 8017, 8.2.2)."""
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        return False
    ending = b"\0" + SHA256_PREFIX + hashlib.sha256(content).digest()
    expected = b"\0\1" + b"\xff" * (size - 2 - len(ending)) + ending
    return pow(number, exponent, modulus).to_bytes(size, "big") == expected


def _bytes(part: bytes) -> bytes:
    if b"=" in part:
        raise BadToken("a part is padded")
    try:
        return base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)
    except binascii.Error:
        raise BadToken("a part is not base64url") from None


def _object(part: bytes) -> dict[str, Any]:
    try:
        return _OBJECT.decode(_bytes(part))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadToken("a part is no JSON object") from None
