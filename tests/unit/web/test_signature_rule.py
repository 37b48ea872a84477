"""Which packages the Web Server accepts: signed ones, unsigned ones, and the keys that may sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core.messages import NewPackage
from sota.boundaries.package_signature import SignedFields, make_key_pair, sign
from sota.boundaries.values import SignatureEnvelope
from sota.kit.errors import Invalid, StartError
from sota.web.repository.service import SignatureRule

SHA256 = "a" * 64


def package(**changes: Any) -> NewPackage:
    values = {"name": "brakes", "version": "1.0.0", "size": 7, "sha256": SHA256, "sha1": "b" * 40, "uri": "k"}
    return msgspec.convert({**values, "installer": "deb", **changes}, NewPackage)


def metadata(key: Ed25519PrivateKey | None) -> PackageMetadata:
    if key is None:
        return PackageMetadata(name="brakes", version="1.0.0")
    envelope = sign(key, SignedFields("brakes", "1.0.0", 7, SHA256, "deb"))
    return PackageMetadata(name="brakes", version="1.0.0", signature=msgspec.convert(envelope, SignatureEnvelope))


def test_signature_of_a_known_key_is_accepted(tmp_path: Path) -> None:
    key = make_key_pair(tmp_path)
    SignatureRule.of(tmp_path, required=True).check(metadata(key), package())


def test_signature_of_an_unknown_key_is_refused(tmp_path: Path) -> None:
    make_key_pair(tmp_path)
    with pytest.raises(Invalid):
        SignatureRule.of(tmp_path, required=False).check(metadata(Ed25519PrivateKey.generate()), package())


@pytest.mark.parametrize("changes", [{"version": "1.0.1"}, {"size": 8}, {"sha256": "c" * 64}, {"target": "brake-unit"}])
def test_signature_of_another_package_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    key = make_key_pair(tmp_path)
    with pytest.raises(Invalid):
        SignatureRule.of(tmp_path, required=False).check(metadata(key), package(**changes))


def test_unsigned_package_is_refused_only_where_signatures_are_required(tmp_path: Path) -> None:
    make_key_pair(tmp_path)
    SignatureRule.of(tmp_path, required=False).check(metadata(None), package())
    with pytest.raises(Invalid):
        SignatureRule.of(tmp_path, required=True).check(metadata(None), package())


def test_a_folder_without_keys_trusts_no_signer(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        SignatureRule.of(tmp_path, required=False).check(metadata(Ed25519PrivateKey.generate()), package())
    with pytest.raises(StartError):
        SignatureRule.of(tmp_path, required=True)


def test_without_keys_a_signature_is_passed_on() -> None:
    SignatureRule.of(None, required=False).check(metadata(Ed25519PrivateKey.generate()), package())
