"""Attacks on people who are signed in, or are about to be: fixed sessions, forged forms, open redirects, guessing."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec
import pytest

from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.interaction import Role
from sota.kit.http.client import Response
from sota.kit.security import tls
from sota.web.accounts.service import add_account
from tests.support.backend import Backend
from tests.support.names import new_name, new_vin
from tests.support.raw_http import Heard, RawConnection

PASSWORD = "a password of these tests"
SESSION, RETURN = "__Host-sota", "__Host-sota-return"
FORM = "application/x-www-form-urlencoded"
EVIL = [
    "//evil.example",
    "///evil.example",
    "////evil.example/",
    "https://evil.example/",
    "https:evil.example",
    "http:///evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    "/%2F/../..//evil.example\\",
    "/\r\nLocation: https://evil.example",
    "/%0d%0aSet-Cookie: a=b\r\nX: y",
    "javascript:alert(1)",
    "data:text/html,x",
    "/\u2215evil.example",
    "evil.example",
    "@evil.example",
    "",
]


async def account(backend: Backend, role: Role = Role.OPERATOR) -> str:
    name = new_name("person")
    await add_account(backend.web.db, name, role, PASSWORD)
    return name


async def signed_in(backend: Backend, role: Role = Role.OPERATOR) -> Browser:
    browser, name = backend.browser(), await account(backend, role)
    assert (await browser.sign_in(name, PASSWORD, as_json=True)).status == 200
    return browser


async def post(browser: Browser, path: str, fields: Mapping[str, str], **headers: str) -> Response:
    """Send a form with the browser's cookies, as a page of any site would."""
    given = {"content-type": FORM, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await browser._send("POST", path, urlencode(fields).encode(), given)


async def talk(backend: Backend, content: bytes) -> Heard:
    assert backend.web.certificate is not None
    connection = await RawConnection.open(backend.web.https_port, tls.trusting(backend.web.certificate))
    await connection.send(content)
    heard = await connection.listen(5.0)
    connection.close()
    return heard


# Session fixation


async def test_planted_session_cookie_is_worth_nothing_after_signing_in(backend: Backend) -> None:
    browser, name = backend.browser(), await account(backend)
    browser.cookies[SESSION] = planted = "planted-by-an-attacker-000123456789abcdefghij"
    await browser.sign_in(name, PASSWORD, as_json=True)
    assert browser.cookies[SESSION] != planted
    attacker = backend.browser()
    attacker.cookies[SESSION] = planted
    assert (await attacker.request("GET", "/api/v1/vehicles")).status == 401


async def test_attackers_own_session_ends_when_his_victim_signs_in_over_it(backend: Backend) -> None:
    attacker = await signed_in(backend, Role.VIEWER)
    victim, name = backend.browser(), await account(backend)
    victim.cookies[SESSION] = attacker.cookies[SESSION]
    await victim.sign_in(name, PASSWORD, as_json=True)
    assert victim.cookies[SESSION] != attacker.cookies[SESSION]
    assert (await attacker.request("GET", "/api/v1/vehicles")).status == 401
    assert (await victim.request("GET", "/api/v1/vehicles")).status == 200


async def test_each_sign_in_makes_a_new_session_and_sign_out_ends_it(backend: Backend) -> None:
    browser, name = backend.browser(), await account(backend)
    await browser.sign_in(name, PASSWORD, as_json=True)
    first = browser.cookies[SESSION]
    await browser.sign_in(name, PASSWORD, as_json=True)
    second = browser.cookies[SESSION]
    assert first != second
    await browser.sign_out()
    for old in (first, second):
        browser.cookies[SESSION] = old
        assert (await browser.request("GET", "/api/v1/vehicles")).status == 401


@pytest.mark.parametrize("place", ["query", "path", "plain HTTP", "twice"])
async def test_session_is_taken_from_one_cookie_over_https_alone(backend: Backend, place: str) -> None:
    browser = await signed_in(backend)
    token = browser.cookies.pop(SESSION)
    cookie = f"{SESSION}={token}"
    path, headers = "/api/v1/vehicles", {"accept": "application/json"}
    if place == "plain HTTP":
        answer = await backend.ask("GET", path, role=Role.PUBLIC, headers={**headers, "cookie": cookie})
        assert answer.status == 401
        return
    if place == "query":
        path += f"?{SESSION}={token}"
    elif place == "path":
        path += f";{SESSION}={token}"
    else:
        headers["cookie"] = f"{cookie}; {SESSION}=planted"
    assert (await browser._send("GET", path, None, headers)).status in {401, 404}


async def test_session_cookie_cannot_be_read_by_scripts_or_set_by_a_sibling_site(backend: Backend) -> None:
    browser = backend.browser()
    answer = await browser.sign_in(await account(backend), PASSWORD, as_json=True)
    line = next(line for line in answer.headers["set-cookie"].split("\n") if line.startswith(f"{SESSION}="))
    rules = {rule.strip().lower() for rule in line.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= rules
    assert not any(rule.startswith("domain") for rule in rules)


# Forged requests


@pytest.mark.parametrize(
    "which", ["missing", "empty", "wrong", "of another session", "of the same account's other one"]
)
async def test_write_without_its_sessions_token_changes_nothing(backend: Backend, which: str) -> None:
    browser, name, vin = backend.browser(), await account(backend), new_vin()
    await browser.sign_in(name, PASSWORD, as_json=True)
    other = backend.browser()
    await other.sign_in(name if "same" in which else await account(backend), PASSWORD, as_json=True)
    token = {"missing": None, "empty": "", "wrong": "0" * 64}.get(which, other.csrf_token)
    browser.csrf_token = ""
    headers = {} if token is None else {"x-csrf-token": token}
    answer = await browser.request("POST", "/api/v1/vehicles", body={"vin": vin}, headers=headers)
    assert answer.status == 403
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}")).status == 404


@pytest.mark.parametrize("kind", [FORM, "text/plain", "multipart/form-data; boundary=x", "application/json; charset=x"])
async def test_form_that_looks_like_json_changes_nothing(backend: Backend, kind: str) -> None:
    """What a page of another site can send: a simple request, with the victim's cookie."""
    browser, vin = await signed_in(backend), new_vin()
    body = msgspec.json.encode({"vin": vin, "csrf_token": browser.csrf_token})
    answer = await browser._send("POST", "/api/v1/vehicles", body, {"content-type": kind})
    assert answer.status in {403, 415}
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}")).status == 404


async def test_upload_from_another_page_stores_nothing(backend: Backend) -> None:
    browser, name = await signed_in(backend), new_name("package")
    body = (
        f'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{{"name":"{name}","version":"1.0.0",'
        '"installer":"deb"}\r\n--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--x--\r\n'
    ).encode()
    answer = await browser._send("POST", "/api/v1/packages", body, {"content-type": "multipart/form-data; boundary=x"})
    assert answer.status == 403
    assert (await backend.ask("GET", f"/api/v1/packages/{name}/1.0.0")).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://localhost.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
async def test_page_of_another_site_signs_no_user_in_or_out(backend: Backend, headers: dict[str, str]) -> None:
    name = await account(backend)
    stranger = backend.browser()
    answer = await post(stranger, "/login", {"username": name, "password": PASSWORD}, **headers)
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)
    browser = await signed_in(backend)
    assert (await post(browser, "/logout", {"csrf_token": browser.csrf_token}, **headers)).status == 403
    assert (await browser.request("GET", "/api/v1/vehicles")).status == 200


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "0" * 10_000])
async def test_user_is_not_signed_out_without_the_token(backend: Backend, token: str) -> None:
    browser = await signed_in(backend)
    assert (await post(browser, "/logout", {"csrf_token": token})).status == 403
    assert (await browser.request("GET", "/api/v1/vehicles")).status == 200


async def test_no_other_site_may_read_answers(backend: Backend) -> None:
    browser = await signed_in(backend)
    answer = await browser.request("GET", "/api/v1/vehicles", headers={"origin": "https://evil.example"})
    assert not any(name.startswith("access-control-") for name in answer.headers)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"
    asked = await browser.request(
        "OPTIONS",
        "/api/v1/vehicles",
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )
    assert asked.status == 405


# Open redirects


def stays_here(answer: Response) -> bool:
    location = answer.headers.get("location")
    return location is None or re.fullmatch(r"/([!-.0-\[\]-~][!-\[\]-~]*)?", location) is not None


@pytest.mark.parametrize("target", EVIL)
async def test_sign_in_never_leads_to_another_site(backend: Backend, target: str) -> None:
    browser, name = backend.browser(), await account(backend)
    page = await browser.request("GET", f"/login?next={quote(target, safe='')}")
    assert (page.status, b"evil.example" in page.body) == (400, False)
    # Both ways in which an attacker may choose where to go: a field, and a cookie that we did not sign.
    browser.cookies[RETURN] = base64.urlsafe_b64encode(target.encode()).decode().rstrip("=") + "." + "0" * 64
    answer = await browser.sign_in(name, PASSWORD, return_to=target)
    assert stays_here(answer), answer.headers
    assert "evil" not in str(answer.headers)


@pytest.mark.parametrize(
    "target",
    [
        b"//evil.example",
        b"//evil.example/index.html",
        b"/\\evil.example/index.html",
        b"/%5cevil.example/index.html",
        b"/%2f/evil.example/index.html",
        b"//evil.example/%2e%2e/index.html",
        b"/index.html?next=//evil.example",
        b"/.//evil.example/index.html",
        b"/%0d%0aLocation:%20https://evil.example/index.html",
        b"/index.html?%0d%0aLocation:%20https://evil.example",
    ],
)
async def test_page_that_is_asked_for_before_signing_in_stays_here(backend: Backend, target: bytes) -> None:
    """The whole way of a victim: a link to us, the login page, the way back."""
    heard = await talk(
        backend, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    )
    head = heard.content.partition(b"\r\n\r\n")[0].decode()
    assert heard.status in {301, 400, 404, 409}
    assert "evil" not in head
    location = re.search(r"(?im)^location: ([^\r]*)", head)
    assert location is None or location[1] == "/login"
    cookie = re.search(rf"(?im)^set-cookie: {RETURN}=([^;]+)", head)
    if cookie is None:
        return
    browser = backend.browser()
    browser.cookies[RETURN] = cookie[1]
    answer = await browser.sign_in(await account(backend), PASSWORD)
    assert (answer.status, stays_here(answer)) == (301, True)


@pytest.mark.parametrize(
    "host", [b"evil.example/", b"evil.example@localhost", b"a\\b", b"[::1", b"x y", b"a:99999999", b"evil.example"]
)
async def test_redirection_to_https_takes_no_address_from_a_strange_host(backend: Backend, host: bytes) -> None:
    connection = await RawConnection.open(backend.web.port)
    await connection.send(b"GET /login HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    heard = await connection.listen(5.0)
    connection.close()
    assert heard.status == 400
    assert b"location" not in heard.content.lower()


async def test_redirection_to_https_goes_to_the_public_host_whatever_host_is_asked_for(
    backend: Backend, tmp_path: Path
) -> None:
    async with backend.another(f"sqlite:///{tmp_path}/web.db", public_host="sota.example:443") as server:
        for host, place in ((b"evil.example", b"sota.example:443"), (b"localhost", b"localhost")):
            connection = await RawConnection.open(server.web.port)
            await connection.send(b"GET /login HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            heard = await connection.listen(5.0)
            connection.close()
            assert heard.status == 308
            assert b"location: https://" + place in heard.content


@pytest.mark.parametrize("path", ["//login", "/login/", "///login//", "/%6cogin/", "//", "/index.html/", "//password"])
async def test_page_over_plain_http_is_redirected_however_its_path_is_written(backend: Backend, path: str) -> None:
    for method in ("GET", "POST"):
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection = await RawConnection.open(backend.web.port)
        await connection.send(request.encode())
        heard = await connection.listen(5.0)
        connection.close()
        assert heard.status == 308, heard.content


async def test_redirection_to_https_keeps_the_path_on_this_host(backend: Backend) -> None:
    connection = await RawConnection.open(backend.web.port)
    await connection.send(b"GET /login?a=%0d%0aX:y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    heard = await connection.listen(5.0)
    connection.close()
    assert heard.status == 308
    assert f"location: https://localhost:{backend.web.https_port}/login?a=%0d%0aX:y\r\n".encode() in heard.content


# Header injection


@pytest.mark.parametrize(
    "text", ["a\r\nX-Injected: 1", "a\nSet-Cookie: x=y", "a\r\n\r\n<script>", "\u560a\u560dX-Injected: 1"]
)
async def test_nothing_from_a_request_becomes_a_header_of_the_answer(backend: Backend, text: str) -> None:
    await backend.with_vehicle()
    await backend.with_vehicle()
    reached = [
        await backend.ask("GET", "/api/v1/vehicles", query={"regex": f"^WVW|{text}", "limit": "1"}),
        await backend.ask("GET", "/api/v1/vehicles", query={text: text}),
        await backend.ask("GET", "/api/v1/filters", query={"cursor": text}),
        await backend.ask("GET", "/api/v1/packages/" + "".join(f"%{byte:02x}" for byte in text.encode()) + "/1.0.0"),
        await backend.ask("POST", "/api/v1/filters", {"name": text, "expression": "TRUE"}),
    ]
    assert "link" in reached[0].headers  # which carries the query on
    for answer in reached:
        assert not {"x-injected", "set-cookie"} & answer.headers.keys()
        assert "\r" not in str(answer.headers)


# Guessing


async def test_guessing_is_slowed_down_and_locks_no_user_out_indefinitely(backend: Backend) -> None:
    name, bystander = await account(backend), await account(backend)
    browser = backend.browser()
    with backend.clock.held():
        statuses = [(await browser.sign_in(name, f"guess {n}")).status for n in range(12)]
        assert statuses == [401] * 6 + [429] * 6
        refused = await browser.sign_in(name, PASSWORD)
        assert refused.status == 429, "the right password, too, must wait"
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= 30
    # Another user at the same address does not wait.
    assert (await backend.browser().sign_in(bystander, PASSWORD, as_json=True)).status == 200
    backend.clock.pass_time(seconds=wait_s)
    assert (await browser.sign_in(name, PASSWORD, as_json=True)).status == 200


async def test_owner_gets_in_from_his_own_browser_while_others_guess_on(backend: Backend) -> None:
    name = await account(backend)
    own, guesser = backend.browser(), backend.browser()
    assert (await own.sign_in(name, PASSWORD, as_json=True)).status == 200
    with backend.clock.held():
        statuses = [(await guesser.sign_in(name, f"guess {n}")).status for n in range(12)]
        assert statuses[-1] == 429
        assert (await guesser.sign_in(name, PASSWORD)).status == 429
        assert (await own.sign_in(name, PASSWORD, as_json=True)).status == 200
        stranger = backend.browser()
        stranger.cookies["__Host-sota-known"] = own.cookies["__Host-sota-known"] + "0"
        assert (await stranger.sign_in(name, PASSWORD)).status == 429


async def test_guesses_side_by_side_are_counted_each(backend: Backend) -> None:
    name = await account(backend)
    browsers = [backend.browser() for _ in range(12)]
    with backend.clock.held():
        answers = await asyncio.gather(*(browser.sign_in(name, f"guess {n}") for n, browser in enumerate(browsers)))
    looked_at = [answer for answer in answers if answer.status == 401]
    assert len(looked_at) <= 6


async def test_refusal_does_not_tell_whether_the_account_is_there(backend: Backend) -> None:
    browser, name = backend.browser(), await account(backend)
    wrong = await browser.sign_in(name, "wrong password", as_json=True)
    unknown = await browser.sign_in(new_name("nobody"), "wrong password", as_json=True)
    assert (wrong.status, wrong.body) == (unknown.status, unknown.body)
