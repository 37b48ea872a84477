"""The gate of the Web Server: which requests it accepts over plain HTTP, and which files are approved at all.

Rules kept here (docs/specification.md, rulings 5 and 7):

* plain HTTP serves the JSON API on loopback; elsewhere it redirects to HTTPS (308) unless the operator says ``serve``;
* sign-in and the console's pages are for HTTPS only, however their path is written;
* the redirect goes to a host that is known to be ours, whatever the Host header says;
* a page, script or style sheet outside the console's folders is treated like one that its manifest does not name: 409;
* an answer over HTTPS asks the browser to stay with HTTPS (HSTS).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import Receive, Send
from sota.boundaries.binding.routing import segments_of
from sota.kit.http.exchange import Scope
from sota.kit.security.tls import ServerCertificate

PAGES = frozenset({"/", "/index.html", "/login", "/logout", "/password"})
UNKNOWN_HOST = b"This host name is not known here. The operator can set it as public_host.\n"
PORT = re.compile(rb":[0-9]+$")
HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
HSTS = (b"strict-transport-security", b"max-age=31536000")
# No page, script or style sheet has these names: files elsewhere are answered like them.
NOWHERE = {".html": b"/-.html", ".js": b"/assets/-.js", ".css": b"/assets/-.css"}


class HttpsGate:
    """The ASGI application of both ports."""

    def __init__(self, app: App, addresses: PublicAddresses, *, serve_plain: bool) -> None:
        self._app, self._addresses, self._serve_plain = app, addresses, serve_plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or redirect it to HTTPS."""
        if scope["type"] != "http":
            return
        if scope.get("scheme") == "https":
            await self._app(_with_known_path(scope), receive, _with_hsts(send))
        elif _plain_path(scope["raw_path"]) in PAGES or not (self._serve_plain or _is_loopback(scope)):
            await self._redirect(scope, send)
        else:
            await self._app(_with_known_path(scope), receive, send)

    async def _redirect(self, scope: Scope, send: Send) -> None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        place = self._addresses.of(host, scope["server"][0] if scope.get("server") else "")
        headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        status, body = 400, UNKNOWN_HOST
        if place is not None:
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            headers.append((b"location", b"https://" + place + scope["raw_path"] + query))
            status, body = 308, b""
        headers += [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class PublicAddresses:
    """The addresses of this server over HTTPS. Its port is read late: with port 0 the system chooses it."""

    def __init__(self, public_host: str | None, https_port: Callable[[], int], certificate: ServerCertificate) -> None:
        self._public_host, self._https_port, self._certificate = public_host, https_port, certificate

    def of(self, host: bytes, own_address: str) -> bytes | None:
        """Return host and port for a redirect, or None if the host is not one of ours.

        Ours are the certificate's names and the address that was called; any other Host header is answered with the
        public host, where that is set.
        """
        match = HOST.fullmatch(host)
        if match is None:
            return None
        name = match.group(1).decode("ascii").lower()
        if self._is_ours(name, own_address):
            return self._with_port(match.group(1))
        if self._public_host is None:
            return None
        public = self._public_host.encode("ascii")
        return public if PORT.search(public) else self._with_port(public)

    def _is_ours(self, name: str, own_address: str) -> bool:
        plain = name.strip("[]")
        names = self._certificate.names
        parent = plain.partition(".")[2]
        return plain in names or (bool(parent) and f"*.{parent}" in names) or _same_address(plain, own_address)

    def _with_port(self, host: bytes) -> bytes:
        port = self._https_port()
        return host + (b"" if port == 443 else b":%d" % port)


def _same_address(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def _plain_path(raw_path: bytes) -> str:
    """Return a path as the router reads it: without slashes at its ends, unquoted segment by segment."""
    try:
        return "/" + "/".join(segments_of(raw_path))
    except UnicodeDecodeError:
        return ""  # the router refuses it


def _is_loopback(scope: Scope) -> bool:
    server = scope.get("server")
    try:
        return server is not None and ipaddress.ip_address(server[0]).is_loopback
    except ValueError:
        return False


def _with_known_path(scope: Scope) -> Scope:
    path: str = scope["path"]
    for ending, nowhere in NOWHERE.items():
        if path.endswith(ending) and not path.startswith("/api/"):
            folder = path.rpartition("/")[0]
            if folder != ("" if ending == ".html" else "/assets"):
                return {**scope, "raw_path": nowhere}
    return scope


def _with_hsts(send: Send) -> Send:
    async def send_with_hsts(message: Scope) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], HSTS]}
        await send(message)

    return send_with_hsts
