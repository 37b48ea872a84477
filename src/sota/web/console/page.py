"""Renders the console's pages from Core's data. All text is escaped and nothing is inline, so the CSP can be strict.

The pages work without the script, which only refreshes the figures through the same API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

from sota.boundaries.b1_browser_web.queries import IndexQuery
from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.messages import ENDED_REQUEST, InstallRequest, Update, VehicleDetail
from sota.boundaries.b2_web_core.queries import RequestQuery, VehicleQuery
from sota.boundaries.values import UpdateStatus
from sota.kit.errors import Refused, Unavailable
from sota.web.console.manifest import Asset, templates
from sota.web.sessions.model import Session

Listed = TypeVar("Listed")

VEHICLES_A_PAGE = 25
REQUESTS_A_PAGE = 10
CALLS_AT_ONCE = 8


class Pages:
    """Renders pages."""

    def __init__(self, core: CoreClient, assets: Mapping[str, Asset]) -> None:
        self._core = core
        self._templates = templates("sota.web.console", assets)
        self._templates.filters["moment"] = lambda value: value.strftime("%Y-%m-%d %H:%M UTC")
        self._templates.filters["percent"] = percent
        self._templates.filters["stage"] = stage
        self._templates.filters["counted"] = counted

    def login(self, *, why: str | None = None) -> bytes:
        """Render the login page; ``why`` says what was wrong with the last attempt."""
        return self._render("login.html", why=why)

    def password(self, session: Session, *, why: str | None = None) -> bytes:
        """Render the page to change one's password; ``why`` says what was wrong with the last attempt."""
        return self._render("password.html", session=session, why=why)

    async def index(self, session: Session, query: IndexQuery) -> bytes:
        """Make the first page: install requests and vehicles; or the one to change a generated password."""
        if session.password_change_due:
            return self.password(session)
        regex = query.regex or ""
        (requests, requests_problem), ((vehicles, cursor), vehicles_problem) = await asyncio.gather(
            _or_why(self._requests(), []), _or_why(self._vehicles(regex or None, query.cursor), ([], None))
        )
        return self._render(
            "index.html",
            session=session,
            requests=requests,
            requests_problem=requests_problem,
            vehicles=vehicles,
            vehicles_problem=vehicles_problem,
            regex=regex,
            following=urlencode({"regex": regex, "cursor": cursor}) if cursor else None,
        )

    async def _requests(self) -> list[InstallRequest]:
        pages = await asyncio.gather(
            self._core.queued_requests(RequestQuery(limit=REQUESTS_A_PAGE)),
            *(
                self._core.queued_requests(RequestQuery(status=status, limit=REQUESTS_A_PAGE))
                for status in ENDED_REQUEST
            ),
        )
        requests = {request.install_request_id: request for page in pages for request in page.items}
        return sorted(requests.values(), key=lambda request: request.created_at, reverse=True)

    async def _vehicles(self, regex: str | None, cursor: str | None) -> tuple[list[VehicleDetail], str | None]:
        page = await self._core.search_vehicles(VehicleQuery(regex, limit=VEHICLES_A_PAGE, cursor=cursor))
        gate = asyncio.Semaphore(CALLS_AT_ONCE)
        details = await asyncio.gather(*(self._vehicle(gate, vehicle.vin) for vehicle in page.items))
        return list(details), page.cursor

    async def _vehicle(self, gate: asyncio.Semaphore, vin: str) -> VehicleDetail:
        async with gate:
            return await self._core.vehicle(vin)

    def _render(self, name: str, **values: object) -> bytes:
        return self._templates.get_template(name).render(**values).encode()


async def _or_why(listed: Awaitable[Listed], nothing: Listed) -> tuple[Listed, str | None]:
    """Return a list; or nothing, and in one sentence why it is unknown, so that it is not shown as empty."""
    try:
        return await listed, None
    except Unavailable:
        return nothing, "SOTA Core does not answer."
    except Refused as error:
        return nothing, error.detail or f"{error.title}."


def percent(update: Update) -> int:
    """Return an update's progress in percent.

    Sent bytes alone are not success: 100 is for an installed update.
    """
    if update.status is UpdateStatus.INSTALLED:
        return 100
    return min(99, update.acknowledged * 100 // update.size) if update.size else 0


def stage(update: Update) -> str:
    """Describe an update's state."""
    if update.status is UpdateStatus.IN_FLIGHT and update.stage is not None:
        return update.stage.value
    if update.reason is not None:
        return f"{update.status.value}: {update.reason.value.replace('_', ' ')}"
    return update.status.value.replace("_", " ")


def counted(request: InstallRequest) -> int:
    """Describe how many vehicles a request is for."""
    counts = request.counts
    return counts.pending + counts.in_flight + counts.installed + counts.failed + counts.cancelled
