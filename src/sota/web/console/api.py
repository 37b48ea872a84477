"""B1-1 to B1-3, B1-12, B1-13, B1-15 to B1-17: the console's pages and files."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from sota.boundaries.b1_browser_web import page_rows
from sota.boundaries.b1_browser_web.queries import AssetQuery, IndexQuery
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.interaction import Interaction
from sota.boundaries.parameters import FilePath, PagePath
from sota.kit.errors import Refused, Unauthenticated
from sota.web.console.manifest import PAGES, Asset
from sota.web.console.page import Pages
from sota.web.sessions.model import COOKIE, is_own_path, read_cookie, set_return_cookie
from sota.web.visitor import Visitors

HTML = "text/html; charset=utf-8"
FOR_EVER = "public, max-age=31536000, immutable"


class ConsoleApi:
    """Serves pages to signed-in users, and approved files to any client. ``key`` signs the page to return to."""

    def __init__(self, pages: Pages, assets: Mapping[str, Asset], visitors: Visitors, key: bytes) -> None:
        self._pages, self._assets, self._visitors, self._key = pages, assets, visitors, key

    @serves("WL-B1-1")
    async def page(self, call: Call[PagePath, IndexQuery, None]) -> Reply:
        """Serve an approved page; any other is 409, before the session is checked."""
        if call.path.page not in PAGES:
            raise Refused("not_approved", "The console has no such page.")
        return await self._index(call)

    @serves("WL-B1-2")
    async def script(self, call: Call[FilePath, AssetQuery, None]) -> Reply:
        """Serve an approved script."""
        return self._asset(f"{call.path.file}.js")

    @serves("WL-B1-3")
    async def stylesheet(self, call: Call[FilePath, AssetQuery, None]) -> Reply:
        """Serve an approved style sheet."""
        return self._asset(f"{call.path.file}.css")

    @serves("WL-B1-12", "WL-B1-13", "WL-B1-15", "WL-B1-16", "WL-B1-17")
    async def root(self, call: Call[None, IndexQuery, None]) -> Reply:
        """Serve the first page to a signed-in user."""
        return await self._index(call)

    async def _index(self, call: Call[object, IndexQuery, None]) -> Reply:
        session = await self._visitors.session_of(call)
        if session is None:
            return to_login(call, self._key)
        page = await self._pages.index(session, call.query)
        row = call.row if call.row is page_rows.INDEX_PAGE else page_rows.PAGE
        return Reply("served", raw=page, content_type=HTML, row=row)

    def _asset(self, name: str) -> Reply:
        asset = self._assets.get(name)
        if asset is None:
            raise Refused("not_approved", "The console has no such file.")
        headers = {"cache-control": FOR_EVER}
        return Reply("served", raw=asset.content, content_type=asset.content_type, headers=headers)


def to_login(call: AnyCall, key: bytes) -> Reply:
    """Send a browser to the login page, and remember where it wanted to go.

    Raises:
        Unauthenticated: the caller is a program and does not want a page.
    """
    accepted = call.headers.get("accept", "*/*")
    if "text/html" not in accepted and "*/*" not in accepted:
        raise Unauthenticated("Sign in first, at /login.")
    target = call.url_path + (f"?{urlencode(call.raw_query)}" if call.raw_query else "")
    cookies = [set_return_cookie(target, key)] if is_own_path(target) else []
    had_cookie = read_cookie(call.headers.get("cookie", ""), COOKIE) is not None
    row: Interaction = page_rows.REDIRECT_UNAUTHENTICATED if had_cookie else page_rows.REDIRECT_TO_LOGIN
    if call.row.outcome("redirected") is not None:  # pages elsewhere than at / say it themselves
        row = call.row
    # Browsers keep a 301 indefinitely unless told not to (docs/specification.md, ruling 6).
    headers = {"location": "/login", "cache-control": "no-store"}
    return Reply("redirected", raw=b"", content_type=HTML, headers=headers, cookies=cookies, row=row)
