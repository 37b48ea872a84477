"""The door of the Web Server: which requests come in over plain HTTP, and which files are approved at all.

Rules kept here (docs/specification.md, rulings 5 and 7):

* plain HTTP serves the JSON API on loopback; elsewhere it redirects to HTTPS (308) unless the operator says ``serve``;
* sign-in and the console's pages are for HTTPS only;
* a page, script or style sheet outside the console's folders is as unknown as one that its manifest does not name: 409;
* an answer over HTTPS asks the browser to stay with HTTPS (HSTS).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from sota.kit.http_message import Receive, Send
from sota.kit.http_server import App

PAGES = frozenset({"/", "/index.html", "/login", "/logout", "/password"})
HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
HSTS = (b"strict-transport-security", b"max-age=31536000")
# No page, script or style sheet has these names: whatever lies elsewhere is answered as they are.
NOWHERE = {".html": b"/-.html", ".js": b"/assets/-.js", ".css": b"/assets/-.css"}


class Door:
    """The ASGI application of both ports; ``https_port`` is asked when it is needed, for it may be a free one."""

    def __init__(self, app: App, https_port: Callable[[], int], *, serve_plain: bool) -> None:
        self._app, self._https_port, self._serve_plain = app, https_port, serve_plain

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request in, or send it to HTTPS."""
        if scope["type"] != "http":
            return
        if scope.get("scheme") == "https":
            await self._app(_with_known_path(scope), receive, _with_hsts(send))
        elif scope["path"] in PAGES or not (self._serve_plain or _is_loopback(scope)):
            await self._redirect(scope, send)
        else:
            await self._app(_with_known_path(scope), receive, send)

    async def _redirect(self, scope: Mapping[str, Any], send: Send) -> None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        match = HOST.fullmatch(host)
        headers = [(b"content-length", b"0"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        status = 400
        if match is not None:
            port = self._https_port()
            place = match.group(1) + (b"" if port == 443 else b":%d" % port)
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            headers.append((b"location", b"https://" + place + scope["raw_path"] + query))
            status = 308
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_loopback(scope: Mapping[str, Any]) -> bool:
    server = scope.get("server")
    try:
        return server is not None and ipaddress.ip_address(server[0]).is_loopback
    except ValueError:
        return False


def _with_known_path(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    path: str = scope["path"]
    for ending, nowhere in NOWHERE.items():
        if path.endswith(ending) and not path.startswith("/api/"):
            folder = path.rpartition("/")[0]
            if folder != ("" if ending == ".html" else "/assets"):
                return {**scope, "raw_path": nowhere}
    return scope


def _with_hsts(send: Send) -> Send:
    async def send_with_hsts(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], HSTS]}
        await send(message)

    return send_with_hsts
