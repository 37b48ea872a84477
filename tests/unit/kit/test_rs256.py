"""RS256 and certificates, read without a library, against the libraries: the same answer, on made-up input too."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from cryptography import x509 as library
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from sota.boundaries.authority import Authority
from sota.kit.security import rs256, x509
from tests.support.certificates import Signer

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ODD = rsa.generate_private_key(public_exponent=65537, key_size=2055)  # not a whole number of bytes
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=2047)
AUTHORITY = Authority.create("An authority")
CERTIFICATE = AUTHORITY.certificate.public_bytes(Encoding.DER)


def public(key: rsa.RSAPrivateKey) -> tuple[int, int]:
    numbers = key.public_key().public_numbers()
    return numbers.n, numbers.e


def signature(content: bytes, key: rsa.RSAPrivateKey = KEY) -> bytes:
    return key.sign(content, padding.PKCS1v15(), hashes.SHA256())


def by_library(content: bytes, signed: bytes) -> bool:
    try:
        KEY.public_key().verify(signed, content, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def token(header: dict[str, Any], claims: Any = None, key: rsa.RSAPrivateKey = KEY) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims or {"a": 1})]
    content = b".".join(parts)
    return (content + b"." + base64.urlsafe_b64encode(signature(content, key)).rstrip(b"=")).decode()


@given(st.binary(max_size=300))
def test_what_the_library_signed_holds(content: bytes) -> None:
    assert rs256.is_signed(content, signature(content), public(KEY))


@pytest.mark.parametrize("key", [KEY, ODD])
def test_keys_of_any_length_are_known(key: rsa.RSAPrivateKey) -> None:
    assert rs256.is_signed(b"content", signature(b"content", key), public(key))


@given(st.binary(max_size=40), st.integers(0, 2047))
def test_one_turned_bit_is_noticed(content: bytes, bit: int) -> None:
    turned = (int.from_bytes(signature(content), "big") ^ 1 << bit).to_bytes(256, "big")
    assert not rs256.is_signed(content, turned, public(KEY))
    assert not by_library(content, turned)


@given(st.binary(max_size=300))
def test_any_bytes_are_judged_as_the_library_judges_them(signed: bytes) -> None:
    assert rs256.is_signed(b"content", signed, public(KEY)) == by_library(b"content", signed)


def test_a_signature_as_large_as_the_modulus_or_of_another_length_is_none() -> None:
    number = int.from_bytes(signature(b"content"), "big")
    modulus, _ = public(KEY)
    assert not rs256.is_signed(b"content", (modulus).to_bytes(256, "big"), public(KEY))
    assert not rs256.is_signed(b"content", b"\0" + number.to_bytes(256, "big"), public(KEY))
    assert not rs256.is_signed(b"content", (number + modulus).to_bytes(257, "big"), public(KEY))


def test_a_block_with_too_little_padding_is_none() -> None:
    # What forgers use against checks that parse: a short padding, the right digest, and bytes of their own behind it.
    ending = b"\0" + rs256.SHA256_PREFIX + bytes(32)
    block = b"\0\1" + b"\xff" * 8 + ending
    forged = block + bytes(256 - len(block))
    private = KEY.private_numbers()
    signed = pow(int.from_bytes(forged, "big"), private.d, private.public_numbers.n).to_bytes(256, "big")
    assert not rs256.is_signed(b"content", signed, public(KEY))


def test_a_token_of_the_library_gives_its_claims() -> None:
    made = jwt.encode({"alg": "RS256"}, {"id": "é", "n": [1]}, RSAKey.import_key(KEY), algorithms=["RS256"])
    assert rs256.verify(made, public(KEY)) == {"id": "é", "n": [1]}


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "HS256"}, {"alg": "rs256"}, {}, {"alg": "RS256", "crit": ["x"]},
        {"alg": "RS256", "b64": False}, ["RS256"],
    ],
)  # fmt: skip
def test_a_header_that_asks_for_something_else_is_refused(header: Any) -> None:
    with pytest.raises(rs256.BadToken):
        rs256.verify(token(header), public(KEY))


def test_a_token_of_a_small_key_is_refused_with_the_reason() -> None:
    with pytest.raises(rs256.BadToken, match="2047 bits; at least 2048 are required"):
        rs256.verify(token({"alg": "RS256"}, key=SMALL), public(SMALL))


def test_a_certificate_with_a_small_key_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="2047 bits; at least 2048 are required"):
        x509.rsa_key(_certificate(SMALL))


def test_claims_that_are_no_object_are_refused() -> None:
    with pytest.raises(rs256.BadToken):
        rs256.verify(token({"alg": "RS256"}, [1]), public(KEY))


def test_a_padded_token_is_refused() -> None:
    with pytest.raises(rs256.BadToken, match="padded"):
        rs256.verify(token({"alg": "RS256"}) + "==", public(KEY))


@given(st.text(max_size=200) | st.lists(st.text(max_size=30), min_size=3, max_size=3).map(".".join))
def test_any_text_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(rs256.BadToken):
        rs256.verify(text, public(KEY))


def test_a_certificates_key_and_name_are_the_librarys() -> None:
    numbers = AUTHORITY.certificate.public_key().public_numbers()  # type: ignore[union-attr]
    assert x509.rsa_key(CERTIFICATE) == (numbers.n, numbers.e)  # type: ignore[union-attr]
    assert x509.common_name(CERTIFICATE) == "An authority"
    assert x509.fingerprint(CERTIFICATE) == AUTHORITY.certificate.fingerprint(hashes.SHA256()).hex()


# A common name has 64 bytes at most: 16 characters of four.
@given(
    st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=16)
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)
)
def test_any_common_name_is_read(name: str) -> None:
    assert x509.common_name(_named(name)) == name


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = AUTHORITY.certificate.subject
    now = AUTHORITY.certificate.not_valid_before_utc
    builder = library.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _named(name: str) -> bytes:
    subject = library.Name(
        [library.NameAttribute(NameOID.COUNTRY_NAME, "DE"), library.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    request = library.CertificateSigningRequestBuilder().subject_name(subject).sign(EC_KEY, hashes.SHA256())
    now = AUTHORITY.certificate.not_valid_before_utc
    builder = library.CertificateBuilder().subject_name(subject).issuer_name(AUTHORITY.certificate.subject)
    builder = builder.public_key(request.public_key()).serial_number(7).not_valid_before(now).not_valid_after(now)
    return builder.sign(EC_KEY, hashes.SHA256()).public_bytes(Encoding.DER)


EC_KEY = ec.generate_private_key(ec.SECP256R1())


def test_a_key_that_is_not_rsa_is_refused(tmp_path: Any) -> None:
    (certificate,) = x509.read_pem(Signer(tmp_path).file.read_bytes())
    with pytest.raises(ValueError, match="not RSA"):
        x509.rsa_key(certificate)


def test_a_file_of_several_certificates_is_read_in_order() -> None:
    other = Authority.create("another")
    found = x509.read_pem(b"a comment\n" + AUTHORITY.root_pem + b"\n" + other.root_pem)
    assert [x509.common_name(certificate) for certificate in found] == ["An authority", "another"]


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----"])
def test_what_is_no_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        x509.read_pem(pem)


@given(st.binary(max_size=400) | st.integers(0, len(CERTIFICATE)).map(lambda end: CERTIFICATE[:end]))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for read in (x509.rsa_key, x509.common_name):
        with contextlib.suppress(ValueError):
            read(content)


@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(1, 255))
def test_a_changed_certificate_is_read_or_refused(at: int, change: int) -> None:
    changed = bytearray(CERTIFICATE)
    changed[at] ^= change
    for read in (x509.rsa_key, x509.common_name):
        with contextlib.suppress(ValueError):
            read(bytes(changed))
