"""``sota ctl status``: does the connection to the backend work?"""

from __future__ import annotations

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b2_web_core.queries import RequestQuery
from sota.cli.ctl.output import show_one
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk


def status(*, to: Target = HERE) -> None:
    """Show the server, and whether it and the token work; exit code 3 if it cannot be reached."""

    async def work(web: WebClient) -> dict[str, object]:
        document = await web.api_document()
        requests = await collect(web.queued_requests, RequestQuery(), 1000)
        return {
            "server": document.info.get("title"),
            "version": document.info.get("version"),
            "open_requests": len(requests),
            "updates_pending": sum(request.counts.pending for request in requests),
            "updates_in_flight": sum(request.counts.in_flight for request in requests),
        }

    found = talk(to, work)
    show_one([(name.replace("_", " "), value) for name, value in found.items()], found, json=to.json)
