"""B1: pages, files, signing in and out, over HTTPS and plain HTTP, at the real Web Server."""

from __future__ import annotations

import re

import pytest

from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.interaction import Role
from sota.kit.http.client import HttpClient
from sota.kit.security import tls
from tests.support.backend import Backend, Server
from tests.support.names import new_name


def cookie_of(set_cookie: str, name: str = "__Host-sota") -> str:
    lines = [line for line in set_cookie.split("\n") if line.startswith(f"{name}=")]
    assert len(lines) == 1, set_cookie
    return lines[0]


@pytest.mark.whitelist("WL-B1-1", "served")
async def test_index_html_is_served(backend: Backend) -> None:
    browser = await backend.signed_in()
    answer = await browser.html("index")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<h1" in answer.body


@pytest.mark.whitelist("WL-B1-1", "not_approved")
async def test_another_html_file_is_refused_with_and_without_a_session(backend: Backend) -> None:
    for browser in (backend.browser(), await backend.signed_in()):
        answer = await browser.html("other")
        assert answer.status == 409
        assert b'"title":"Unknown page"' in answer.body


@pytest.mark.whitelist("WL-B1-2", "served")
async def test_linked_script_is_served_to_every_caller(backend: Backend) -> None:
    page = await (await backend.signed_in()).console()
    linked = re.findall(rb'<script src="([^"]+)"', page.body)
    assert linked
    client = await backend.client(Role.PUBLIC)
    for address in linked:
        answer = await client.request("GET", address.decode())
        assert (answer.status, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")


@pytest.mark.whitelist("WL-B1-2", "not_approved")
async def test_unknown_script_is_refused(backend: Backend) -> None:
    answer = await backend.browser().script("jquery")
    assert answer.status == 409
    assert b'"title":"Unknown script"' in answer.body


@pytest.mark.whitelist("WL-B1-3", "served")
async def test_linked_stylesheet_is_served_to_every_caller(backend: Backend) -> None:
    page = await backend.browser().login_page()
    linked = re.findall(rb'<link rel="stylesheet" href="([^"]+)"', page.body)
    assert linked
    client = await backend.client(Role.PUBLIC)
    for address in linked:
        answer = await client.request("GET", address.decode())
        assert (answer.status, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.whitelist("WL-B1-3", "not_approved")
async def test_unknown_stylesheet_is_refused(backend: Backend) -> None:
    answer = await backend.browser().stylesheet("theme")
    assert answer.status == 409
    assert b'"title":"Unknown stylesheet"' in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/login.html",
        "/deep/er/page.html",
        "/script.js",
        "/style.css",
        "/assets/x/y.js",
        "/assets/..%2Fx.css",
        "/x%2Ejs",
    ],
)
async def test_unapproved_files_are_refused_wherever_they_are(backend: Backend, path: str) -> None:
    answer = await backend.ask("GET", path, role=Role.PUBLIC)
    assert answer.status == 409


@pytest.mark.whitelist("WL-B1-9", "served")
async def test_login_page_is_served_over_https(backend: Backend) -> None:
    answer = await backend.browser().login_page()
    assert answer.status == 200
    assert b'<input id="password" name="password" type="password"' in answer.body


async def test_login_page_over_plain_http_is_redirected(backend: Backend) -> None:
    answer = await backend.ask("GET", "/login", role=Role.PUBLIC)
    assert answer.status == 308
    assert answer.headers["location"] == f"https://127.0.0.1:{backend.web.https_port}/login"


@pytest.mark.whitelist("WL-B1-10", "submitted", "signed_in")
async def test_valid_credentials_give_the_console_and_a_cookie(backend: Backend) -> None:
    answer = await backend.browser().sign_in("admin", backend.password)
    assert answer.status == 200
    assert b"Install requests" in answer.body
    assert cookie_of(answer.headers["set-cookie"])


@pytest.mark.whitelist("WL-B1-10", "denied")
@pytest.mark.parametrize("user", ["admin", "no-such-user"])
async def test_invalid_credentials_are_denied(backend: Backend, user: str) -> None:
    answer = await backend.browser().sign_in(user, "not the password")
    assert answer.status == 401
    assert b'name="password"' in answer.body
    assert "set-cookie" not in answer.headers


@pytest.mark.whitelist("WL-B1-10", "denied")
async def test_invalid_credentials_as_json_are_denied(backend: Backend) -> None:
    answer = await backend.browser().sign_in("admin", "not the password", as_json=True)
    assert answer.status == 401
    assert b'"title":"Access Denied"' in answer.body


@pytest.mark.whitelist("WL-B1-11", "cookie_set")
async def test_session_cookie_is_guarded_and_new_at_each_sign_in(backend: Backend) -> None:
    browser = backend.browser()
    first = cookie_of((await browser.sign_in("admin", backend.password)).headers["set-cookie"])
    second = cookie_of((await browser.sign_in("admin", backend.password)).headers["set-cookie"])
    value, *attributes = [part.strip() for part in first.split(";")]
    assert attributes == ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"]
    assert len(value.removeprefix("__Host-sota=")) >= 43  # 256 bits in base64
    assert first != second
    # The one before is worth nothing any more.
    browser.cookies["__Host-sota"] = value.removeprefix("__Host-sota=")
    assert (await browser.console()).status == 301


@pytest.mark.whitelist("WL-B1-12", "cookie_sent")
@pytest.mark.whitelist("WL-B1-15", "requested", "cookie_sent")
@pytest.mark.whitelist("WL-B1-16", "served")
async def test_console_is_served_to_a_browser_that_sends_its_cookie(backend: Backend) -> None:
    browser = await backend.signed_in()
    answer = await browser.console()
    assert answer.status == 200
    assert b'<link rel="stylesheet" href="/assets/console.css' in answer.body
    assert b'<script src="/assets/console.js' in answer.body


@pytest.mark.whitelist("WL-B1-13", "redirected")
async def test_unauthenticated_browser_is_sent_to_the_login_page(backend: Backend) -> None:
    answer = await backend.browser().console()
    assert answer.status == 301
    assert answer.headers["location"] == "/login"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.whitelist("WL-B1-17", "redirected")
async def test_browser_whose_session_is_over_is_sent_to_the_login_page(backend: Backend) -> None:
    browser = await backend.signed_in()
    cookie = browser.cookies["__Host-sota"]
    assert (await browser.sign_out()).status == 303
    browser.cookies["__Host-sota"] = cookie
    answer = await browser.console()
    assert (answer.status, answer.headers["location"]) == (301, "/login")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.whitelist("WL-B1-14", "returned")
async def test_signing_in_leads_back_to_the_page_that_was_asked_for(backend: Backend) -> None:
    browser = backend.browser()
    await browser.html("index")
    answer = await browser.sign_in("admin", backend.password)
    assert (answer.status, answer.headers["location"]) == (301, "/index.html")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("planted", ["https://evil.example/", "//evil.example", "L2V2aWw.0000", "Ly9ldmlsLmV4YW1wbGU"])
async def test_a_planted_page_to_return_to_is_not_followed(backend: Backend, planted: str) -> None:
    browser = backend.browser()
    browser.cookies["__Host-sota-return"] = planted
    answer = await browser.sign_in("admin", backend.password)
    assert answer.status == 200
    assert "location" not in answer.headers


async def test_api_call_without_credentials_is_unauthorized(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/vehicles", role=Role.PUBLIC)
    assert (answer.status, answer.message) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.whitelist("X-B1-7", "signed_out")
async def test_signing_out_ends_the_session(backend: Backend) -> None:
    browser = await backend.signed_in()
    await browser.console()
    answer = await browser.sign_out()
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in cookie_of(answer.headers["set-cookie"])


async def test_signing_out_needs_the_csrf_token(backend: Backend) -> None:
    browser = await backend.signed_in()
    browser.csrf_token = "guessed"
    assert (await browser.sign_out()).status == 403
    assert (await browser.console()).status == 200


async def test_change_by_cookie_needs_the_csrf_token(backend: Backend) -> None:
    browser = await backend.signed_in()
    await browser.console()
    new = {"name": new_name("filter"), "expression": "TRUE"}
    with_token = await browser.request("POST", "/api/v1/filters", body=new)
    browser.csrf_token = ""
    without = await browser.request("POST", "/api/v1/filters", body={**new, "name": new_name("filter")})
    assert (with_token.status, without.status) == (200, 403)


async def test_sign_in_form_of_another_site_is_refused(backend: Backend) -> None:
    body = b"username=admin&password=whatever"
    certificate = backend.web.certificate
    assert certificate is not None
    client = HttpClient(f"https://localhost:{backend.web.https_port}", ssl=tls.trusting(certificate))
    for foreign in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        headers = {"content-type": "application/x-www-form-urlencoded", **foreign}
        answer = await client.request("POST", "/login", body=body, headers=headers)
        assert answer.status == 403
    await client.close()


async def test_cookie_over_plain_http_is_worth_nothing(backend: Backend) -> None:
    browser = await backend.signed_in()
    plain = Browser(await backend.client(Role.PUBLIC))
    plain.cookies = browser.cookies
    assert (await plain.request("GET", "/api/v1/vehicles")).status == 401


async def test_every_answer_carries_the_security_headers(backend: Backend) -> None:
    browser = await backend.signed_in()
    for answer in (
        await browser.console(),
        await browser.html("other"),
        await browser.request("GET", "/api/v1/vehicles"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_pages_have_nothing_inline(backend: Backend) -> None:
    browser = await backend.signed_in()
    for page in ((await browser.console()).body, (await backend.browser().login_page()).body):
        assert re.search(rb"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", page) is None


async def test_what_comes_from_outside_is_escaped(backend: Backend) -> None:
    vin = await backend.with_vehicle("XSSX")
    installed = [{"name": "<script>alert(1)</script>", "version": '"><b>'}]
    assert (await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", installed)).status == 200
    browser = await backend.signed_in()
    page = await browser._send("GET", "/?regex=%5EXSSX", None, {"accept": "text/html"})
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in page.body
    assert b"<script>alert" not in page.body


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/api/v1/vehicles", Role.VIEWER),
        ("POST", "/api/v1/vehicles", Role.OPERATOR),
        ("DELETE", "/api/v1/filters/some-filter", Role.OPERATOR),
        ("POST", "/api/v1/packages", Role.OPERATOR),
    ],
)
async def test_a_role_may_do_what_it_allows_and_no_more(backend: Backend, method: str, path: str, needed: Role) -> None:
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        answer = await backend.ask(method, path, role=role)
        assert (answer.status == 403) is (not role.allows(needed)), (role, answer)


async def test_console_says_when_core_is_away(cut_off: Server) -> None:
    browser = await cut_off.signed_in()
    page = await browser.console()
    assert page.status == 200
    assert b"SOTA Core does not answer" in page.body


async def test_console_gives_the_reason_of_a_search_that_fails_and_nothing_false(backend: Backend) -> None:
    await backend.with_vehicle()
    package = await backend.with_targeted_package()
    name, version = package.split("/")
    interval = {"start": "2030-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"}
    body = {"package": {"name": name, "version": version}, "priority": 1, "interval": interval}
    assert (await backend.ask("POST", "/api/v1/install-requests", body)).status == 200
    page = (await (await backend.signed_in()).console({"regex": "("})).body.decode()
    assert "The search failed: The regular expression does not compile" in page
    assert package in page, "the install requests are known all the same"
    for false in ("cannot be read", "No install requests yet", "No vehicle matches", "No vehicle is registered"):
        assert false not in page
    odd = (await (await backend.signed_in()).console({"cursor": "nonsense"})).body.decode()
    assert "Vehicles are unavailable now: The cursor is not one that this list returned" in odd
