"""The browser that tests and scripts play: cookies, CSRF token, redirections left to the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import PagePath
from sota.boundaries.table import TABLE
from sota.kit.http.client import HttpClient
from sota.kit.http.listener import HttpListener

pytestmark = pytest.mark.anyio

PAGE_ROWS = ("WL-B1-1", "WL-B1-9", "WL-B1-10", "WL-B1-16", "X-B1-7")
FORM = b'<form><input type="hidden" name="csrf_token" value="t0ken"></form>'


class Console:
    def __init__(self) -> None:
        self.calls: list[tuple[AnyCall, bytes]] = []

    async def take(self, call: AnyCall) -> None:
        self.calls.append((call, await call.read(1000)))

    @serves("WL-B1-1")
    async def html(self, call: Call[PagePath, None, None]) -> Reply:
        await self.take(call)
        return Reply("served", raw=call.path.page.encode(), content_type="text/html")

    @serves("WL-B1-9")
    async def login_page(self, call: AnyCall) -> Reply:
        await self.take(call)
        return Reply("served", raw=b"x", content_type="text/html")

    @serves("WL-B1-10")
    async def sign_in(self, call: AnyCall) -> Reply:
        await self.take(call)
        return Reply("signed_in", raw=FORM, content_type="text/html", cookies=["a=1; Secure", "b=2; Path=/"])

    @serves("WL-B1-16")
    async def page(self, call: AnyCall) -> Reply:
        await self.take(call)
        return Reply("served", raw=b"", headers={"location": "/login?next=x"}, status=301)

    @serves("X-B1-7")
    async def sign_out(self, call: AnyCall) -> Reply:
        await self.take(call)
        return Reply("signed_out", raw=b"", cookies=["a=; Max-Age=0"])


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
async def browser(console: Console) -> AsyncIterator[Browser]:
    app = App("web", [TABLE[row_id] for row_id in PAGE_ROWS])
    app.add(console)
    app.check()
    listener = HttpListener(app, "127.0.0.1", 0)
    await listener.start()
    client = HttpClient(f"http://127.0.0.1:{listener.port}")
    yield Browser(client)
    await client.close()
    await listener.stop()


async def test_cookies_and_token_are_kept_until_signed_out(browser: Browser, console: Console) -> None:
    await browser.sign_in("admin", "a&b")
    assert (browser.cookies, browser.csrf_token) == ({"a": "1", "b": "2"}, "t0ken")
    await browser.sign_out()
    call, body = console.calls[-1]
    assert (call.headers["cookie"], body) == ("a=1; b=2", b"csrf_token=t0ken")
    assert browser.cookies == {"b": "2"}


async def test_credentials_go_as_a_form_or_as_json(browser: Browser, console: Console) -> None:
    await browser.sign_in("admin", "a&b", return_to="signed")
    await browser.sign_in("admin", "a&b", as_json=True)
    assert [body for _, body in console.calls] == [
        b"username=admin&password=a%26b&next=signed",
        b'{"username":"admin","password":"a&b"}',
    ]


async def test_redirection_is_shown_and_not_followed(browser: Browser, console: Console) -> None:
    answer = await browser.console()
    assert (answer.status, answer.headers["location"], len(console.calls)) == (301, "/login?next=x", 1)
    assert (await browser.login_page()).body == b"x"
    assert (await browser.html("other")).body == b"other"
