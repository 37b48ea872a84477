"""Reads three fields of a certificate with the standard library alone: its RSA key, its common name, its hash.

A vehicle's node needs only these, once a connection. A complete library costs it 11 MB for as long as it runs
(docs/decisions/0012). This module does not decide whether a certificate is trusted: TLS (``ssl``) has done that, or
the file is the vehicle's own. Malformed input raises ``ValueError``.

The encoding is DER (ITU-T X.690): a tag, a length, and that many bytes. The first part of a certificate is
(RFC 5280, 4.1)::

    version?  serial number  algorithm  issuer  validity  subject  public key  …
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator

from sota.kit.security.rs256 import check_size

SEQUENCE, SET, INTEGER, BIT_STRING, OBJECT_ID, VERSION = 0x30, 0x31, 0x02, 0x03, 0x06, 0xA0
RSA = bytes.fromhex("2a864886f70d010101")  # 1.2.840.113549.1.1.1
COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3
TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be"}
MAX_BITS = 16_384
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")


def read_pem(pem: bytes) -> list[bytes]:
    """Return the certificates of a PEM file, in DER.

    Raises:
        ValueError: there is none, or one is truncated.
    """
    found = [binascii.a2b_base64(b"".join(match.split()), strict_mode=True) for match in _PEM.findall(pem)]
    if not found:
        raise ValueError("no certificate in PEM")
    return found


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate (DER), as 64 hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def rsa_key(certificate: bytes) -> tuple[int, int]:
    """Return modulus and exponent of a certificate's RSA key.

    Raises:
        ValueError: it is not a certificate, or its key is not RSA or too small.
    """
    fields = _fields(certificate)
    algorithm, bits = _exactly(fields[5], SEQUENCE, BIT_STRING)
    name = next(_values(algorithm), (0, b""))
    if name != (OBJECT_ID, RSA) or bits[:1] != b"\0":
        raise ValueError("the key is not RSA")
    modulus, exponent = _exactly(_only(bits[1:], SEQUENCE), INTEGER, INTEGER)
    n, e = int.from_bytes(modulus, "big", signed=True), int.from_bytes(exponent, "big", signed=True)
    check_size(n)
    if n < 0 or n.bit_length() > MAX_BITS or not 3 <= e < 1 << 64 or n % 2 == 0 or e % 2 == 0:
        raise ValueError("the key is not a valid RSA key")
    return n, e


def common_name(certificate: bytes) -> str | None:
    """Return the first common name of a certificate's subject.

    Raises:
        ValueError: it is not a certificate.
    """
    for _, relative in _values(_fields(certificate)[4]):
        for _, attribute in _values(relative):
            parts = list(_values(attribute))
            if len(parts) == 2 and parts[0] == (OBJECT_ID, COMMON_NAME):
                return parts[1][1].decode(TEXTS.get(parts[1][0], "ascii"))
    return None


def _fields(certificate: bytes) -> list[bytes]:
    """Return serial number, algorithm, issuer, validity, subject and key of a certificate."""
    first, _, _ = _exactly(_only(certificate, SEQUENCE), SEQUENCE, SEQUENCE, BIT_STRING)
    parts = list(_values(first))
    if parts and parts[0][0] == VERSION:  # a certificate of version 1 has none
        del parts[0]
    tags = [tag for tag, _ in parts[:6]]
    if tags != [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE]:
        raise ValueError("not a certificate")
    return [value for _, value in parts]


def _only(content: bytes, tag: int) -> bytes:
    (value,) = _exactly(content, tag)
    return value


def _exactly(content: bytes, *tags: int) -> list[bytes]:
    parts = list(_values(content))
    if [tag for tag, _ in parts] != list(tags):
        raise ValueError("not a certificate")
    return [value for _, value in parts]


def _values(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Return tag and value of each element, in order."""
    at = 0
    while at < len(content):
        if at + 2 > len(content):
            raise ValueError("an element is cut off")
        tag, size = content[at], content[at + 1]
        at += 2
        if size >= 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4 or at + count > len(content):
                raise ValueError("an invalid length")
            size = int.from_bytes(content[at : at + count], "big")
            at += count
        if at + size > len(content):
            raise ValueError("an element is cut off")
        yield tag, content[at : at + size]
        at += size
