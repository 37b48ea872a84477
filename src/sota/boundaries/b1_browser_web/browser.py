"""The browser's own part of B1, as tests and scripts play it: pages, files, the sign-in form, the session cookie.

Answers are given as they come, redirections included: what a browser would follow is for the caller to see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from sota.boundaries.b1_browser_web import admin_rows, page_rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import address
from sota.boundaries.interaction import Interaction
from sota.kit.http.client import HttpClient, Response

_CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"|"csrf_token":\s*"([^"]+)"')
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class Browser:
    """A browser with one console open over HTTPS. It keeps cookies and the CSRF token of the last page."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.cookies: dict[str, str] = {}
        self.csrf_token = ""

    @calls("WL-B1-1")
    async def html(self, page: str = "index") -> Response:
        """Ask for an HTML file by its name without ending."""
        return await self._ask(page_rows.INDEX_PAGE, {"page": page})

    @calls("WL-B1-2")
    async def script(self, file: str) -> Response:
        """Ask for a script by its name without ending."""
        return await self._ask(page_rows.SCRIPTS, {"file": file})

    @calls("WL-B1-3")
    async def stylesheet(self, file: str) -> Response:
        """Ask for a stylesheet by its name without ending."""
        return await self._ask(page_rows.STYLESHEETS, {"file": file})

    @calls("WL-B1-9")
    async def login_page(self) -> Response:
        """Ask for the login page."""
        return await self._ask(page_rows.LOGIN_PAGE)

    @calls("WL-B1-10", "WL-B1-11", "WL-B1-14")
    async def sign_in(self, username: str, password: str, *, return_to: str = "", as_json: bool = False) -> Response:
        """Send credentials, as the form does or as JSON."""
        fields = {"username": username, "password": password, **({"next": return_to} if return_to else {})}
        if as_json:
            return await self._ask(page_rows.LOGIN, body=msgspec.json.encode(fields), kind=JSON)
        return await self._ask(page_rows.LOGIN, body=urlencode(fields).encode(), kind=FORM)

    @calls("WL-B1-12", "WL-B1-13", "WL-B1-15", "WL-B1-16", "WL-B1-17")
    async def console(self, query: Mapping[str, str] | None = None) -> Response:
        """Ask for the console's page, with the cookies that are there."""
        return await self._ask(page_rows.PAGE, query=query)

    @calls("X-B1-7")
    async def sign_out(self) -> Response:
        """End the session."""
        form = urlencode({"csrf_token": self.csrf_token}).encode()
        return await self._ask(page_rows.LOGOUT, body=form, kind=FORM)

    @calls("X-B1-9")
    async def api_page(self) -> Response:
        """Ask for the API document as a page."""
        return await self._ask(page_rows.API_PAGE)

    @calls("X-B1-40")
    async def password_page(self) -> Response:
        """Ask for the page to change one's password."""
        return await self._ask(admin_rows.PASSWORD_PAGE)

    @calls("X-B1-41")
    async def change_password(self, old: str, new: str, *, again: str | None = None) -> Response:
        """Send the form to change one's password."""
        fields = {"old_password": old, "new_password": new, "new_password_again": new if again is None else again}
        form = urlencode({"csrf_token": self.csrf_token, **fields}).encode()
        return await self._ask(admin_rows.CHANGE_PASSWORD_FORM, body=form, kind=FORM)

    async def request(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Make a call of the JSON API as the console's own script does: with cookie and CSRF token."""
        content = None if body is None else msgspec.json.encode(body)
        kind = {"content-type": JSON} if content is not None else {}
        token = {"x-csrf-token": self.csrf_token} if self.csrf_token else {}
        given = {"accept": JSON, **token, **kind, **(headers or {})}
        return await self._send(method, path, content, given)

    async def _ask(
        self,
        row: Interaction,
        path: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        kind: str | None = None,
    ) -> Response:
        method, target = address(row, path or {})
        headers = {"accept": JSON if kind == JSON else "text/html", **({"content-type": kind} if kind else {})}
        response = await self._send(method, target, body, headers, query)
        found = _CSRF.search(response.body.decode("utf-8", "replace"))
        if found is not None:
            self.csrf_token = found.group(1) or found.group(2)
        return response

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {**headers, **({"cookie": cookie} if cookie else {})}
        response = await self._client.request(method, path, query=query, body=body, headers=given)
        for line in filter(None, response.headers.get("set-cookie", "").split("\n")):
            pair, _, attributes = line.partition(";")
            name, _, value = pair.strip().partition("=")
            if value and "max-age=0" not in attributes.lower():
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return response
