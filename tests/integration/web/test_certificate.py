"""The Web Server takes up another certificate while it runs."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sota.kit.errors import Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.security import tls
from sota.kit.security.tls import ensure_certificate
from sota.web.program import WebProgram
from sota.web.settings import WebSettings
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0


class LateClock:
    """A clock that goes as the system's does, and is behind it by as much as the test says."""

    def __init__(self, behind: timedelta) -> None:
        self.behind = behind

    def now(self) -> datetime:
        return datetime.now(UTC) - self.behind


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebProgram]:
    certificate, key = ensure_certificate(tmp_path / "own")
    (tmp_path / "token").write_text("a token")
    settings = WebSettings(
        port=0,
        https_port=0,
        data=tmp_path / "web",
        database=f"sqlite:///{tmp_path}/web.db",
        repository=str(tmp_path / "packages"),
        core_token_file=tmp_path / "token",
        resolver_token_file=tmp_path / "token",
        certificate_file=certificate,
        certificate_key_file=key,
    )
    program = WebProgram(settings)
    await program.start()
    yield program
    await program.stop()


async def answers(web: WebProgram, trusted: Path) -> bool:
    """Report whether the server presents this certificate in a new connection."""
    client = HttpClient(f"https://localhost:{web.https_port}", ssl=tls.trusting(trusted), timeout_s=5)
    try:
        return (await client.request("GET", "/login")).status == 200
    except (OSError, Unavailable):
        return False
    finally:
        await client.close()


async def test_new_certificate_is_taken_up_without_a_restart(web: WebProgram, tmp_path: Path) -> None:
    own, key = tmp_path / "own" / "web.pem", tmp_path / "own" / "web.key"
    before = Path(shutil.copy(own, tmp_path / "before.pem"))
    assert await answers(web, before)
    other, other_key = ensure_certificate(tmp_path / "other")
    shutil.copy(other_key, key)
    shutil.copy(other, own)

    async def is_shown() -> bool:
        return await answers(web, other)

    await until(is_shown, "the new certificate is presented", timeout_s=PATIENCE_S, interval_s=0.2)
    assert not await answers(web, before)


async def test_own_certificate_is_renewed_while_the_server_runs(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token")
    clock = LateClock(timedelta(days=350))
    settings = WebSettings(
        port=0,
        https_port=0,
        data=tmp_path / "web",
        database=f"sqlite:///{tmp_path}/web.db",
        repository=str(tmp_path / "packages"),
        core_token_file=tmp_path / "token",
        resolver_token_file=tmp_path / "token",
    )
    program = WebProgram(settings, clock=clock)
    await program.start()
    assert program.certificate is not None
    certificate = program.certificate
    before = certificate.read_bytes()

    async def is_renewed() -> bool:
        return certificate.read_bytes() != before and await answers(program, certificate)

    try:
        assert await answers(program, certificate)
        clock.behind = timedelta()
        await until(is_renewed, "the certificate is renewed", timeout_s=PATIENCE_S, interval_s=0.2)
    finally:
        await program.stop()
