"""Credentials: what counts, what is refused, and that one bad one costs nothing but itself."""

from __future__ import annotations

import base64
import json
import stat
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import RSAKey

from sota.boundaries.authority import Authority, Grant
from sota.rvi.credentials import CredentialError, Identity, Rights, TrustAnchor, read_all, vin_in_certificate

VIN = "WVW00000000000001"
NOW = datetime.now(UTC)
GRANT = Grant(VIN, [f"genivi.org/vin/{VIN}/"], ["genivi.org/backend/"], NOW - timedelta(1), NOW + timedelta(1))


@pytest.fixture(scope="session")
def device(authority: Authority) -> x509.Certificate:
    return authority.sign_device(VIN)[1]


@pytest.fixture
def anchor(authority: Authority) -> TrustAnchor:
    return TrustAnchor(authority.root_pem)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_a_good_credential_gives_its_rights(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate
) -> None:
    credential = anchor.read(authority.sign_credential(GRANT, device), now=time.time(), certificate=der(device))
    rights = Rights([credential])
    assert rights.to_receive(f"genivi.org/vin/{VIN}/sota/notify", time.time()) is credential
    assert rights.to_invoke("genivi.org/backend/sota/start", time.time()) is credential
    assert rights.to_receive("genivi.org/vin/WVW00000000000002/sota/notify", time.time()) is None
    assert rights.vin == VIN


def test_an_authority_refuses_small_keys_with_the_reason(authority: Authority, tmp_path: Path) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=2047)
    for refuse in (
        lambda: Authority(small, authority.certificate),
        lambda: authority.sign_device(VIN, small),
        lambda: authority.issue_vehicle(VIN, tmp_path / "identity", key=small),
    ):
        with pytest.raises(ValueError, match="RSA of at least 2048 bits, or of P-256 or P-384, not RSA of 2047 bits"):
            refuse()


def test_a_trust_anchor_with_a_small_key_is_refused_with_the_reason(authority: Authority) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=2047)
    name, now = authority.certificate.subject, authority.certificate.not_valid_before_utc
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(small.public_key())
    anchor = builder.serial_number(7).not_valid_before(now).not_valid_after(now).sign(small, hashes.SHA256())
    with pytest.raises(CredentialError, match="2047 bits; at least 2048 are required"):
        TrustAnchor(authority.root_pem + anchor.public_bytes(Encoding.PEM))


def test_rights_lapse_with_their_credential(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate
) -> None:
    credential = anchor.read(authority.sign_credential(GRANT, device), now=time.time(), certificate=der(device))
    assert Rights([credential]).to_invoke("genivi.org/backend/sota/start", credential.stop + 1) is None


@pytest.mark.parametrize(
    ("start", "stop"),
    [(NOW - timedelta(2), NOW - timedelta(1)), (NOW + timedelta(1), NOW + timedelta(2))],
)
def test_out_of_its_validity_it_is_refused(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate, start: datetime, stop: datetime
) -> None:
    token = authority.sign_credential(replace(GRANT, start=start, stop=stop), device)
    with pytest.raises(CredentialError, match="expired or not yet valid"):
        anchor.read(token, now=time.time(), certificate=der(device))


def test_of_another_authority_it_is_refused(anchor: TrustAnchor, device: x509.Certificate) -> None:
    token = Authority.create("a stranger").sign_credential(GRANT, device)
    with pytest.raises(CredentialError, match="not signed by the trust anchor"):
        anchor.read(token, now=time.time(), certificate=der(device))


def test_with_another_certificate_it_is_refused(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate
) -> None:
    other = authority.sign_device("WVW00000000000002")[1]
    with pytest.raises(CredentialError, match="another certificate"):
        anchor.read(authority.sign_credential(GRANT, device), now=time.time(), certificate=der(other))


def test_over_tcp_there_is_no_certificate_to_compare(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate
) -> None:
    assert anchor.read(authority.sign_credential(GRANT, device), now=time.time(), certificate=None).id


def test_a_changed_payload_is_refused(authority: Authority, anchor: TrustAnchor, device: x509.Certificate) -> None:
    head, payload, signature = authority.sign_credential(GRANT, device).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["right_to_invoke"] = ["genivi.org/"]
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(CredentialError):
        anchor.read(f"{head}.{changed}.{signature}", now=time.time(), certificate=der(device))


def test_a_header_that_asks_for_no_signature_is_refused(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate
) -> None:
    _, payload, _ = authority.sign_credential(GRANT, device).split(".")
    head = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"none"}').decode().rstrip("=")
    with pytest.raises(CredentialError):
        anchor.read(f"{head}.{payload}.", now=time.time(), certificate=der(device))


def test_the_aliases_of_older_authorities_are_understood(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate
) -> None:
    claims = {
        "id": "old",
        "sources": [f"genivi.org/vin/{VIN}/"],
        "destinations": ["genivi.org/backend/"],
        "device_cert": base64.b64encode(der(device)).decode(),
        "validity": {"start": int(time.time()) - 60, "stop": int(time.time()) + 60},
    }
    key = authority._signing_key
    token = jwt.encode({"typ": "JWT", "alg": "RS256"}, claims, key, algorithms=["RS256"])
    credential = anchor.read(token, now=time.time(), certificate=der(device))
    assert Rights([credential]).to_invoke("genivi.org/backend/sota/start", time.time()) is credential


@pytest.mark.parametrize("missing", ["right_to_receive", "right_to_invoke", "validity", "device_cert"])
def test_a_credential_that_lacks_a_claim_is_refused(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate, missing: str
) -> None:
    key: RSAKey = authority._signing_key
    claims = dict(jwt.decode(authority.sign_credential(GRANT, device), key, algorithms=["RS256"]).claims)
    del claims[missing]
    token = jwt.encode({"alg": "RS256"}, claims, key, algorithms=["RS256"])
    with pytest.raises(CredentialError):
        anchor.read(token, now=time.time(), certificate=None)


@pytest.mark.parametrize("bad", ["a.b", "", "a.b.c", None, 7, {}, ["x"], "x" * 100_000, "é.é.é", "e30.e30.e30"])
def test_a_malformed_one_costs_nothing_but_itself(
    authority: Authority, anchor: TrustAnchor, device: x509.Certificate, bad: object
) -> None:
    good = authority.sign_credential(GRANT, device)
    credentials, reasons = read_all(anchor, [bad, good], now=time.time(), certificate=der(device))
    assert [credential.token for credential in credentials] == [good]
    assert len(reasons) == 1


def test_no_more_than_sixteen_are_read(authority: Authority, anchor: TrustAnchor, device: x509.Certificate) -> None:
    good = authority.sign_credential(GRANT, device)
    credentials, reasons = read_all(anchor, [good] * 20, now=time.time(), certificate=der(device))
    assert (len(credentials), len(reasons)) == (16, 1)


def test_an_identity_is_a_folder(authority: Authority, tmp_path: Path) -> None:
    authority.issue_vehicle(VIN, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"root.pem", "device.pem", "device.key", "credential.jwt"}
    assert stat.S_IMODE((tmp_path / "device.key").stat().st_mode) == 0o600
    assert Identity.read(tmp_path, time.time()).rights.vin == VIN


def test_an_identity_without_a_valid_credential_is_refused(authority: Authority, tmp_path: Path) -> None:
    authority.issue_vehicle(VIN, tmp_path)
    (tmp_path / "credential.jwt").write_text("a.b")
    with pytest.raises(CredentialError, match="no valid credential"):
        Identity.read(tmp_path, time.time())


def test_a_missing_identity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="cannot read the identity"):
        Identity.read(tmp_path / "nowhere", time.time())


def test_an_authority_is_found_again(tmp_path: Path) -> None:
    first, second = Authority.open(tmp_path / "a"), Authority.open(tmp_path / "a")
    assert first.root_pem == second.root_pem
    assert stat.S_IMODE((tmp_path / "a" / "root.key").stat().st_mode) == 0o600


def test_an_authority_refuses_what_is_no_vin(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a VIN"):
        authority.issue_vehicle("../../elsewhere", tmp_path)


def test_a_certificate_may_name_the_vehicle(device: x509.Certificate, authority: Authority) -> None:
    assert vin_in_certificate(der(device)) == VIN
    assert vin_in_certificate(der(authority.certificate)) is None
    assert vin_in_certificate(b"nonsense") is None
