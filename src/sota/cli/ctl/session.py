"""Runs a command's calls: one client for all of them, time-outs, and errors that say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from sota.boundaries.b1_browser_web.admin_client import AdminClient
from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.calling import Page
from sota.boundaries.parameters import ListQuery
from sota.cli.ctl.profile import Target, client_of
from sota.kit.errors import Refused, StartError, Unavailable
from sota.kit.http.client import HttpClient

Result = TypeVar("Result")
Item = TypeVar("Item")
Query = TypeVar("Query", bound=ListQuery)
Client = TypeVar("Client")
PAGE = 500
CANNOT_REACH = 3

# What to do after each refusal.
ADVICE = {
    "unauthenticated": "the token is unknown, expired or revoked: make another with sota tokens new",
    "password_change_due": "sign in on the console and choose a password first",
    "filters_missing": "give the package a filter: sota ctl filters attach FILTER PACKAGE",
    "package_missing": "upload it first: sota ctl packages upload",
    "package_unknown": "upload it first: sota ctl packages upload",
}


def talk(target: Target, work: Callable[[WebClient], Awaitable[Result]]) -> Result:
    """Run a command's calls; raises as :func:`run` does."""
    return run(target, WebClient, work)


def administer(target: Target, work: Callable[[AdminClient], Awaitable[Result]]) -> Result:
    """Run the calls of a command that administers the Web Server; raises as :func:`run` does."""
    return run(target, AdminClient, work)


def run(target: Target, make: Callable[[HttpClient], Client], work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Run a command's calls with the client from ``make``.

    Raises:
        StartError: the server cannot be reached (exit code 3), or the configuration is wrong (2).
        Refused: the server refuses; the detail says what to do.
    """

    async def session() -> Result:
        client = client_of(target)
        try:
            return await work(make(client))
        finally:
            await client.close()

    try:
        return asyncio.run(session())
    except Unavailable as error:
        raise StartError(error.detail or error.title, exit_code=CANNOT_REACH) from None
    except Refused as error:
        advice = ADVICE.get(error.code)
        if advice is None:
            raise
        detail = f"{error.detail.rstrip('.')} ({advice})" if error.detail else advice
        raise Refused(error.code, detail, status=error.status, title=error.title) from None


async def collect(listing: Callable[[Query], Awaitable[Page[Item]]], query: Query, limit: int | None) -> list[Item]:
    """Read a list page by page, up to ``limit`` items; all of it for None."""
    found: list[Item] = []
    cursor: str | None = None
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = await listing(msgspec.structs.replace(query, limit=size, cursor=cursor))
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    return found
