"""The API document, built from the table when the program starts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.openapi import DOCUMENTED, document
from sota.web.console.api import HTML, to_login
from sota.web.console.manifest import Asset
from sota.web.documents.page import render
from sota.web.visitor import Visitors


class DocumentsApi:
    """Shows the API document to viewers. ``key`` signs the page to return to after sign-in."""

    def __init__(self, assets: Mapping[str, Asset], visitors: Visitors, key: bytes) -> None:
        made = document(DOCUMENTED["web"])
        self._json = msgspec.json.encode(made)
        self._page = render(made, assets)
        self._visitors, self._key = visitors, key

    @serves("X-B1-8")
    async def as_json(self, call: Call[None, None, None]) -> Reply:
        """Return the document."""
        return Reply("served", raw=self._json)

    @serves("X-B1-9")
    async def as_page(self, call: Call[None, None, None]) -> Reply:
        """Show the document as a page; a browser that is not signed in returns here after sign-in."""
        if "authorization" not in call.headers:
            session = await self._visitors.session_of(call)
            if session is None:
                return to_login(call, self._key)
            if session.password_change_due:
                headers = {"location": "/password", "cache-control": "no-store"}
                return Reply("redirected", raw=b"", content_type=HTML, headers=headers)
        await self._visitors.admit(call)
        return Reply("served", raw=self._page, content_type=HTML)
