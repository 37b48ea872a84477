"""Texts that want to be more than texts: endless regular expressions, lines and escape sequences for logs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import structlog

from sota.boundaries.interaction import Role
from sota.kit.runtime import logging
from sota.web.accounts.service import add_account
from tests.support.backend import Backend
from tests.support.names import new_name

# Regular expressions

SLOW_ELSEWHERE = [
    "(a+)+$",
    "(a|a)*$",
    "(a|aa)+$",
    "^(([A-Z0-9])+.)+([A-Z0-9])+!$",
    "(.*a){25}!",
    "(x+x+)+y",
    "([A-Z0-9]+)*!",
    "(A?){25}A{25}!",
    "^(.{0,100}){9}!",
    "(?i)(.*[A-Z].*){100}!",
]
REFUSED = [
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    "(?<!a)b",
    "(a)\\1",
    "(?P<n>a)(?P=n)",
    "(?>a+)b",
    "a++",
    "((((",
    "[z-a]",
    "*",
    "a{1001}",
]
TOO_LARGE = ["x" * 513, "(((a{100}){100}){100}){100}", "\\pL{1000}\\pL{1000}"]
SEARCHES = ["vehicles", "packages", "filters", "components"]


@pytest.fixture(scope="module")
async def filled(backend: Backend) -> Backend:
    """Register names on which such expressions never end with a backtracking engine."""
    long = "A" * 60
    for n in range(5):
        await backend.ask("POST", "/api/v1/vehicles", {"vin": f"AAAAAAAAAAAA{n:05d}"})
        await backend.ask("POST", "/api/v1/components", {"part_number": f"{long}{n}"})
        await backend.ask("POST", "/api/v1/filters", {"name": f"{long}{n}", "expression": "FALSE"})
        await backend.upload({"name": f"{long}{n}", "version": "1.0.0", "installer": "deb"}, b"content")
    installed = [{"name": long, "version": "a" * 60}]
    await backend.ask("PUT", "/api/v1/vehicles/AAAAAAAAAAAA00000/packages", installed)
    return backend


def expressions(pattern: str) -> list[str]:
    quoted = f'"{pattern}"'
    return [
        f"vin_matches {quoted}",
        f"has_package {quoted} {quoted}",
        f'has_package "." {quoted}',
        f"has_component {quoted}",
        f"NOT (vin_matches {quoted} OR has_component {quoted})",
    ]


@pytest.mark.parametrize("what", SEARCHES)
@pytest.mark.parametrize("pattern", SLOW_ELSEWHERE)
async def test_search_takes_linear_time(filled: Backend, what: str, pattern: str) -> None:
    started = time.monotonic()
    answer = await filled.ask("GET", f"/api/v1/{what}", query={"regex": pattern})
    assert answer.status == 200
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("what", SEARCHES)
@pytest.mark.parametrize("pattern", REFUSED + TOO_LARGE)
async def test_search_by_what_is_no_regular_expression_of_ours_fails(filled: Backend, what: str, pattern: str) -> None:
    answer = await filled.ask("GET", f"/api/v1/{what}", query={"regex": pattern})
    assert (answer.status, answer.body["code"]) == (404, "failed")


@pytest.mark.parametrize("pattern", SLOW_ELSEWHERE)
async def test_filter_takes_linear_time(filled: Backend, pattern: str) -> None:
    for expression in expressions(pattern):
        package = await filled.with_targeted_package(expression)
        name, _, version = package.partition("/")
        interval = {"start": "2020-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"}
        started = time.monotonic()
        answer = await filled.ask(
            "POST",
            "/api/v1/install-requests",
            {"package": {"name": name, "version": version}, "priority": 1, "interval": interval},
        )
        assert answer.status == 200, answer
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("pattern", REFUSED + TOO_LARGE)
async def test_filter_of_what_is_no_regular_expression_of_ours_is_refused(filled: Backend, pattern: str) -> None:
    for expression in expressions(pattern):
        answer = await filled.ask("POST", "/api/v1/filters", {"name": new_name("filter"), "expression": expression})
        assert (answer.status, answer.message) == (406, "Filter failed validation")


async def test_filter_that_is_deeply_nested_is_refused(filled: Backend) -> None:
    for expression in ("(" * 20_000 + "TRUE" + ")" * 20_000, "NOT " * 15_000 + "TRUE"):
        started = time.monotonic()
        answer = await filled.ask("POST", "/api/v1/filters", {"name": new_name("filter"), "expression": expression})
        assert (answer.status, answer.message) == (406, "Filter failed validation")
        assert time.monotonic() - started < 5


async def test_others_are_served_during_the_worst_search(filled: Backend) -> None:
    searches = [
        asyncio.create_task(filled.ask("GET", "/api/v1/packages", query={"regex": "(.{0,100}){9}!"})) for _ in range(8)
    ]
    started = time.monotonic()
    assert (await filled.ask("GET", "/api/v1/vehicles", query={"limit": "1"})).status == 200
    assert time.monotonic() - started < 3
    assert {answer.status for answer in await asyncio.gather(*searches)} == {200}


# Logs

FORGED = [
    'x"}\n{"event":"forged_event"}',
    "x\r\nlevel=info event=forged_event",
    "x\x1b[2K\x1b[1Aforged_event",
    "x\x9b2Kforged_event",
    "x\u2028forged_event\u2029\x85forged_event",
    "x\x00\x07\x08forged_event",
    "x\u202eforged_event",
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The programs' own logs, as they write them for an operator, at their most talkative."""
    before, written = structlog.get_config(), io.StringIO()
    logging.configure("debug", output=written)
    yield written
    structlog.configure(**before)


def lines_of(log: io.StringIO) -> list[dict[str, Any]]:
    """Read the log; each of its lines must be one whole event, however a reader splits lines."""
    text = log.getvalue()
    assert text.splitlines() == text.rstrip("\n").split("\n") or text == ""
    return [msgspec.json.decode(line) for line in text.splitlines()]


async def attack_logs(backend: Backend, text: str) -> None:
    inside = quote(text, safe="")
    headers = {"user-agent": text.encode("ascii", "ignore").decode().translate(dict.fromkeys((0, 10, 13))), "x": "y"}
    vin = await backend.with_vehicle()
    for method, path, body in [
        ("POST", "/api/v1/vehicles", {"vin": text}),
        ("GET", f"/api/v1/vehicles/{inside}", None),
        ("POST", "/api/v1/filters", {"name": text, "expression": text}),
        ("POST", "/api/v1/components", {"part_number": new_name("part"), "name": text, "description": text}),
        ("PUT", f"/api/v1/vehicles/{vin}/packages", [{"name": text, "version": text}]),
        ("PUT", f"/api/v1/filters/{inside}", {"expression": text}),
        ("DELETE", f"/api/v1/packages/{inside}/{inside}", None),
        ("GET", f"/{inside}", None),
        ("GET", f"/api/v1/packages/{inside}/1.0.0/file", None),
    ]:
        await backend.ask(method, path, body, role=Role.ADMIN, headers=headers)
    await backend.ask("GET", "/api/v1/vehicles", query={"regex": text, "cursor": text})
    await backend.ask("GET", "/api/v1/vehicles", query={text: text})
    await backend.upload({"name": text, "version": "1.0.0", "installer": "deb"}, b"x")
    await backend.upload(
        {"name": new_name("package"), "version": "1.0.0", "installer": "deb", "description": text, "vendor": text}, b"x"
    )
    await backend.browser().sign_in(text or "x", text or "x", as_json=True)
    with repository_away(Path(backend.web.settings.repository)):
        name = new_name("package")
        await backend.upload({"name": name, "version": "1.0.0", "installer": "deb", "vendor": text}, b"x")


@contextlib.contextmanager
def repository_away(folder: Path) -> Iterator[None]:
    """Let the repository fail: a file stands where its folder was."""
    away = folder.with_name("away")
    folder.rename(away)
    folder.write_text("no folder any more")
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


@pytest.mark.parametrize("text", FORGED)
async def test_one_event_stays_one_line_of_the_log(backend: Backend, log: io.StringIO, text: str) -> None:
    await attack_logs(backend, text)
    for line in lines_of(log):
        assert line["event"] != "forged_event"
    assert not any(character in log.getvalue() for character in "\x00\x07\x1b\x7f\x85\x9b\u2028\u2029\u202e")


async def test_what_is_always_logged_is_escaped(log: io.StringIO) -> None:
    """A caller's text in any log event."""
    for text in (*FORGED, "\ud800 half a character"):
        logging.get_logger(bound=text).info("something_happened", value=text, nested={"inner": [text]})
        try:
            raise ValueError(text)
        except ValueError as error:
            logging.get_logger().error("something_failed", exc_info=error)
    assert [line["event"] for line in lines_of(log)] == ["something_happened", "something_failed"] * (len(FORGED) + 1)


async def test_record_of_what_was_done_is_one_line_too(backend: Backend) -> None:
    for text in FORGED:
        await backend.ask("PUT", f"/api/v1/filters/{quote(text, safe='')}", {"expression": "TRUE"})
    assert (await backend.web.audit.verify()).broken is None
    async with backend.web.db.read() as tx:
        found = (await tx.exec_driver_sql("SELECT object, actor FROM audit_record")).all()
    assert any("forged_event" in row[0] for row in found)
    assert all(str(value).isprintable() for row in found for value in row)


async def test_no_secret_is_ever_logged(backend: Backend, log: io.StringIO) -> None:
    name, password = new_name("person"), "a password that stays secret"
    await add_account(backend.web.db, name, Role.ADMIN, password)
    browser = backend.browser()
    await browser.sign_in(name, password, as_json=True)
    await browser.sign_in(name, f"{password}, mistyped", as_json=True)
    await browser.sign_in(f"{password}, in the wrong field", "x", as_json=True)
    await browser.request("POST", "/api/v1/vehicles", body={"vin": "none"})
    await browser.request("GET", "/api/v1/nothing")
    tokens = {role: await tokens_of(backend, role) for role in (Role.ADMIN, Role.VIEWER)}
    for role in tokens:
        await backend.ask("POST", "/api/v1/filters", {"name": "x", "expression": "("}, role=role)
    secrets = [password, browser.cookies["__Host-sota"], browser.csrf_token, *tokens.values()]
    await attack_logs(backend, "anything")
    await browser.sign_out()
    for token_file in backend.folder.glob("*.token"):
        secrets.append(token_file.read_text())
    logged = log.getvalue()
    assert logged
    assert [secret for secret in secrets if secret in logged] == []
    async with backend.web.db.read() as tx:
        audited = str((await tx.exec_driver_sql("SELECT * FROM audit_record")).all())
    assert [secret for secret in secrets if secret in audited] == []


async def tokens_of(backend: Backend, role: Role) -> str:
    client = await backend.client(role)
    token = client._token
    assert token is not None
    return token
