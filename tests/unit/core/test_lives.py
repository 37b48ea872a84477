"""Which download a vehicle means, and what follows from what it remembers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.boundaries.b7_core_rvi.messages import InstallationStage
from sota.boundaries.values import DownloadIdentity, Stage
from sota.core.transfers.model import Download, DownloadState, Mismatch, mismatch
from sota.core.transfers.presence.model import Life, judge
from sota.kit.ranges import Ranges
from sota.kit.runtime.clock import new_id
from tests.support.identities import EPOCH, IDENTITY

OTHER_EPOCH = "0" * 15 + "1"
LIFE = Life("WVW00000000000001", EPOCH, highest_index=7, highest_answered=5)
DOWNLOAD = Download(
    vin=LIFE.vin,
    download_index=7,
    update_id=new_id(),
    request_id=new_id(),
    package=("ivi", "2.1.0"),
    size=0,
    block_size=1024,
    received=Ranges(),
    state=DownloadState.TRANSFERRING,
    update_status="in_flight",
    command="install",
    uri="ab/cd",
    sha256="a" * 64,
    sha1="b" * 40,
    installer="deb",
    target=None,
    signature=None,
    epoch=EPOCH,
)


def message(identity: DownloadIdentity, epoch: str | None = EPOCH) -> InstallationStage:
    return InstallationStage(vin=LIFE.vin, download_index=7, identity=identity, stage=Stage.INSTALLING, epoch=epoch)


def test_message_that_names_the_download_and_the_epoch_counts() -> None:
    assert mismatch(DOWNLOAD, message(DOWNLOAD.identity)) is None


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(DOWNLOAD, update_id=new_id()),
        dataclasses.replace(DOWNLOAD, package=("ivi", "2.1.1")),
        dataclasses.replace(DOWNLOAD, sha256="c" * 64),
    ],
    ids=["update", "package", "hash"],
)
def test_message_that_names_another_download_does_not(other: Download) -> None:
    assert mismatch(DOWNLOAD, message(other.identity)) is Mismatch.DOWNLOAD


def test_unknown_index_is_no_download() -> None:
    assert mismatch(None, message(IDENTITY)) is Mismatch.DOWNLOAD


@pytest.mark.parametrize("epoch", [OTHER_EPOCH, None])
def test_message_of_another_epoch_does_not_count(epoch: str | None) -> None:
    assert mismatch(DOWNLOAD, message(DOWNLOAD.identity, epoch)) is Mismatch.EPOCH


@pytest.mark.parametrize("highest", [5, 6, 7])
def test_folder_that_remembers_what_core_knows_changes_nothing(highest: int) -> None:
    verdict = judge(LIFE, EPOCH, highest)
    assert (verdict.renew, verdict.stale, verdict.ask) == (False, False, False)


def test_new_folder_of_a_new_vehicle_is_told_its_epoch_and_asked_nothing() -> None:
    verdict = judge(dataclasses.replace(LIFE, highest_index=0, highest_answered=0), None, 0)
    assert (verdict.renew, verdict.stale, verdict.ask) == (False, True, False)


def test_folder_that_forgot_is_asked_and_told_again() -> None:
    verdict = judge(LIFE, EPOCH, 4)
    assert (verdict.renew, verdict.stale, verdict.ask) == (False, True, True)


@given(epoch=st.sampled_from([EPOCH, OTHER_EPOCH, None]), highest=st.integers(0, 20), knows=st.booleans())
def test_epoch_is_renewed_only_for_a_vehicle_that_knows_it_and_more(
    epoch: str | None, highest: int, knows: bool
) -> None:
    verdict = judge(LIFE, epoch, highest, knows_update=knows)

    assert verdict.renew == (epoch == EPOCH and (highest > 7 or not knows))
    assert verdict.ask or not verdict.stale, "who is told again is asked too"
    assert verdict.stale or epoch == EPOCH
