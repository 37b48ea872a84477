"""The signature over an announced file: whose key it may be of, and when it is checked again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.boundaries.package_signature import SignedFields, make_key_pair, sign
from sota.boundaries.values import Command, PackageId, SignatureEnvelope
from sota.client.verification import Verifier
from sota.kit.errors import Refused
from tests.support.identities import EPOCH, UPDATE_ID

SHA256 = "a" * 64


@pytest.fixture
def start(tmp_path: Path) -> StartDownload:
    key = make_key_pair(tmp_path)
    envelope = sign(key, SignedFields("ivi", "1.0.0", 10, SHA256, "deb"))
    return StartDownload(
        download_index=1,
        update_id=UPDATE_ID,
        epoch=EPOCH,
        package=PackageId(name="ivi", version="1.0.0"),
        size=10,
        block_size=10,
        block_count=1,
        sha256=SHA256,
        sha1="b" * 40,
        installer="deb",
        command=Command.INSTALL,
        signature=msgspec.convert(envelope, SignatureEnvelope),
    )


def test_a_key_that_is_withdrawn_while_blocks_come_counts_no_more(tmp_path: Path, start: StartDownload) -> None:
    verifier = Verifier(tmp_path, allow_unsigned=False)
    verifier.check_start(start)
    verifier.check_file(start, SHA256)

    (tmp_path / "packages.pub.pem").unlink()

    with pytest.raises(Refused, match="no trusted key"):
        verifier.check_file(start, SHA256)


def test_what_was_accepted_is_not_accepted_for_another_file(tmp_path: Path, start: StartDownload) -> None:
    verifier = Verifier(tmp_path, allow_unsigned=False)
    verifier.check_start(start)

    with pytest.raises(Refused, match="another package"):
        verifier.check_start(msgspec.structs.replace(start, size=11))
    with pytest.raises(Refused, match="SHA-256"):
        verifier.check_file(start, "c" * 64)
