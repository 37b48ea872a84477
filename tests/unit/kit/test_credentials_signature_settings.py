"""Service credentials, package signatures and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sota.boundaries.binding.service_credentials import ServiceCredentials, issue
from sota.boundaries.package_signature import SignedFields, load_public_keys, make_key_pair, sign, verify
from sota.kit.errors import Refused, StartError
from sota.kit.runtime.settings import Meta, Settings, load

FIELDS = SignedFields("ivi", "2.1.0", 1024, "ab" * 32, "deb")


def test_a_token_names_its_program_and_a_wrong_one_is_refused_as_the_row_says(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    web, core = issue(file, "Web Server"), issue(file, "SOTA Core")
    credentials = ServiceCredentials.load(file)
    assert credentials.identify(f"Bearer {web}").program == "Web Server"
    assert credentials.identify(f"Bearer {core}").program == "SOTA Core"
    assert web not in file.read_text()
    for wrong in ("", "Bearer ", f"Basic {web}", f"Bearer {web}x"):
        with pytest.raises(Refused) as refused:
            credentials.identify(wrong)
        assert (refused.value.status, refused.value.title) == (404, "Authentication Failed")


def test_a_missing_credentials_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="sota credentials issue"):
        ServiceCredentials.load(tmp_path / "none.toml")


def test_a_signature_holds_for_exactly_its_fields(tmp_path: Path) -> None:
    key = make_key_pair(tmp_path)
    envelope = sign(key, FIELDS)
    keys = load_public_keys(tmp_path)
    assert len(verify(envelope, keys, FIELDS)) == 64
    for change in (
        {"version": "2.1.1"},
        {"size": 1025},
        {"sha256": "cd" * 32},
        {"installer": "command"},
        {"target": "tcu"},
    ):
        with pytest.raises(Refused, match="do not match"):
            verify(envelope, keys, replace(FIELDS, **change))


def test_a_strangers_signature_and_rubbish_are_refused(tmp_path: Path) -> None:
    make_key_pair(tmp_path)
    keys = load_public_keys(tmp_path)
    envelopes: tuple[Any, ...] = (
        sign(Ed25519PrivateKey.generate(), FIELDS),
        {},
        None,
        "x",
        {"payloadType": 1},
        {"signatures": []},
    )
    for envelope in envelopes:
        with pytest.raises(Refused) as refused:
            verify(envelope, keys, FIELDS)
        assert refused.value.code == "verification_failed"
    with pytest.raises(Refused, match="no trusted key"):
        verify(sign(Ed25519PrivateKey.generate(), FIELDS), [], FIELDS)


class Example(Settings, kw_only=True):
    port: Annotated[int, Meta(ge=1, le=65535, description="Port.")] = 80
    names: tuple[str, ...] = ()


def test_the_later_layer_of_settings_wins(tmp_path: Path) -> None:
    file = tmp_path / "sota.toml"
    file.write_text('[example]\nport = 81\nnames = ["a"]\nlog_level = "debug"\n')
    environment = {"SOTA_EXAMPLE_PORT": "82", "SOTA_EXAMPLE_NAMES": "b, c", "SOTA_OTHER_PORT": "9"}
    settings = load(Example, "example", file=file, environment=environment, overrides={"log_level": "error"})
    assert (settings.port, settings.names, settings.log_level) == (82, ("b", "c"), "error")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[example]\nprot = 1\n", "did you mean 'port'"),
        ("[example]\nport = 0\n", ">= 1"),
        ("[example\n", "not TOML"),
    ],
)
def test_a_wrong_setting_is_said_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "sota.toml"
    file.write_text(text)
    with pytest.raises(StartError, match=said) as error:
        load(Example, "example", file=file, environment={})
    assert str(file) in error.value.detail
