"""Handshakes that fail leave a line with what to do in both logs, and are counted; a stubborn peer fills no log."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from sota.boundaries import authority as authority_module
from sota.kit.runtime.metrics import REGISTRY
from sota.kit.security.x509 import fingerprint
from sota.rvi.handshake_failures import HINTS, HandshakeFailures
from tests.support.rvi import Identities, backend_settings, exchange, running, vehicle_settings, wait_until

Issue = Callable[[Identities, Path, pytest.MonkeyPatch], Path]


def issued_at(ahead: timedelta) -> Issue:
    """Issue a vehicle's identity as if it were another time."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + ahead

    def issue(identities: Identities, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        with monkeypatch.context() as then:
            then.setattr(authority_module, "datetime", Then)
            identities.authority.issue_vehicle("WVW00000000000001", folder)
        return folder

    return issue


def of_a_stranger(_identities: Identities, folder: Path, _monkeypatch: pytest.MonkeyPatch) -> Path:
    """Issue a vehicle's identity by another authority, with our trust anchor beside it."""
    stranger = Identities(folder / "stranger")
    made = stranger.vehicle()
    (made / "root.pem").write_bytes(_identities.authority.root_pem + stranger.authority.root_pem)
    return made


def counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("sota_rvi_handshakes_failed_total", labels) or 0.0


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (issued_at(timedelta(days=-10_000)), "expired"),
        (issued_at(timedelta(days=3_000)), "not_yet_valid"),
        (of_a_stranger, "unknown_authority"),
    ],
    ids=["expired", "not-yet-valid", "unknown-authority"],
)
async def test_an_identity_that_does_not_count_is_told_on_both_sides(
    identities: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any], issue: Issue, reason: str
) -> None:
    identity = issue(identities, tmp_path / "identity", monkeypatch)
    settings = backend_settings(identities, tmp_path / "b")
    link = f"tls://127.0.0.1:{settings.tls_port}"
    vehicle = vehicle_settings(identities, tmp_path / "v", link, identity=identity, trust_clock=False)
    theirs = {"side": "listening", "refused": "theirs", "reason": reason}
    before = counted(**theirs)

    async with running(settings), running(vehicle):
        await wait_until(lambda: counted(**theirs) >= before + 3)
        await wait_until(lambda: {line["side"] for line in failures(logs)} == {"listening", "connecting"})

    [listening] = [line for line in failures(logs) if line["side"] == "listening"]
    assert {key: listening[key] for key in theirs} == theirs
    assert listening["hint"] == HINTS[reason]
    # asyncio closes a connection without the alert that would name the reason.
    [connecting] = [line for line in failures(logs) if line["side"] == "connecting"]
    assert (connecting["refused"], connecting["hint"]) == ("ours", HINTS["no_greeting"])


def failures(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["event"] == "handshake_failed"]


async def test_a_backend_whose_identity_does_not_count_is_told(
    identities: Identities, tmp_path: Path, logs: list[Any]
) -> None:
    stranger = Identities(tmp_path / "stranger")
    settings = backend_settings(identities, tmp_path / "b", identity=stranger.backend)
    link = f"tls://127.0.0.1:{settings.tls_port}"
    async with running(settings), running(vehicle_settings(identities, tmp_path / "v", link)):
        await wait_until(lambda: failures(logs))

    line = failures(logs)[0]
    assert (line["side"], line["refused"], line["reason"]) == ("connecting", "theirs", "unknown_authority")


async def test_a_revoked_vehicle_hears_that_the_other_side_knows_why(
    identities: Identities, tmp_path: Path, logs: list[Any]
) -> None:
    certificate = ssl.PEM_cert_to_DER_cert((identities.vehicle() / "device.pem").read_text())
    (tmp_path / "revoked.txt").write_text(f"{fingerprint(certificate)}\n")
    settings = backend_settings(identities, tmp_path / "b", revoked=tmp_path / "revoked.txt")
    link = f"tls://127.0.0.1:{settings.tls_port}"
    ours = {"side": "connecting", "refused": "ours", "reason": "no_greeting"}
    before = counted(**ours)
    async with running(settings), running(vehicle_settings(identities, tmp_path / "v", link)):
        await wait_until(lambda: counted(**ours) > before)

    assert any(entry["event"] == "peer_refused" and entry["reason"] == "revoked" for entry in logs)
    assert [entry["reason"] for entry in logs if entry["event"] == "handshake_failed"] == ["no_greeting"]


async def test_who_speaks_no_tls_or_shows_no_certificate_is_counted(
    identities: Identities, tmp_path: Path, logs: list[Any]
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    none = {"side": "listening", "refused": "none", "reason": "no_tls"}
    bare = {"side": "listening", "refused": "theirs", "reason": "no_certificate"}
    before = counted(**none), counted(**bare)
    async with running(settings):
        await exchange(settings.tls_port, b"GET / HTTP/1.1\r\n\r\n")
        await wait_until(lambda: counted(**none) == before[0] + 1)
        await _connect_without_certificate(settings.tls_port)
        await wait_until(lambda: counted(**bare) == before[1] + 1)
    assert {entry["reason"] for entry in logs if entry["event"] == "handshake_failed"} == {"no_tls", "no_certificate"}


async def _connect_without_certificate(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert await reader.read() == b""
    writer.close()


def test_a_line_a_minute_names_how_often_it_failed(logs: list[Any]) -> None:
    moment = 0.0
    handshakes = HandshakeFailures(structlog.get_logger(), clock=lambda: moment)
    for _ in range(250):
        handshakes.failed("connecting", None)
        moment += 1.0
    assert [entry["times"] for entry in logs] == [1, 60, 60, 60, 60]
