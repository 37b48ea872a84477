"""Rows of B1 about queues and the blacklist, which go on to SOTA Core (B2)."""

from __future__ import annotations

from typing import Any

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.messages import Blacklisting
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.values import PackageId
from sota.kit.errors import Invalid
from sota.web.gateway.answer import answering, listed, paging


class QueueApi:
    """What is queued for vehicles, how it is stopped, and which packages must not go out."""

    def __init__(self, core: CoreClient) -> None:
        self._core = core

    @serves("X-B1-12")
    async def cancel(self, call: Call[Any]) -> Reply:
        """Cancel what waits of an install request."""
        with answering(call.row):
            return Reply("cancelled", await self._core.cancel_request(call.path["id"]))

    @serves("X-B1-13")
    async def stop(self, call: Call[Any]) -> Reply:
        """Cancel what waits of an install request, and abort what is under way."""
        with answering(call.row):
            return Reply("stopped", await self._core.stop_request(call.path["id"]))

    @serves("X-B1-14")
    async def retry(self, call: Call[Any]) -> Reply:
        """Try again what failed or was cancelled of an install request."""
        with answering(call.row):
            return Reply("retried", await self._core.retry_request(call.path["id"]))

    @serves("X-B1-15")
    async def queue(self, call: Call[Any]) -> Reply:
        """List what a vehicle will get, in its order."""
        with answering(call.row):
            return listed(call, await self._core.queue_of(call.path["vin"], **paging(call.query)))

    @serves("X-B1-16")
    async def order(self, call: Call[list[str]]) -> Reply:
        """Let the updates of a vehicle go in another order."""
        with answering(call.row):
            return Reply("ordered", await self._core.order_queue(call.path["vin"], call.body))

    @serves("X-B1-17")
    async def history(self, call: Call[Any]) -> Reply:
        """List the updates of a vehicle that are over, the latest first."""
        with answering(call.row):
            return listed(call, await self._core.history_of(call.path["vin"], **paging(call.query)))

    @serves("X-B1-18")
    async def ask_for_packages(self, call: Call[Any]) -> Reply:
        """Ask a vehicle what it has installed."""
        with answering(call.row):
            await self._core.ask_for_packages(call.path["vin"])
        return Reply("asked")

    @serves("X-B1-19")
    async def blacklist(self, call: Call[Blacklisting]) -> Reply:
        """Blacklist a package."""
        stop = call.query.get("stop", "false")
        if stop not in ("true", "false"):
            raise Invalid(f"stop must be true or false, not {stop[:40]!r}.")
        with answering(call.row):
            done = await self._core.blacklist(_package(call), call.body.comment, stop=stop == "true")
        return Reply("blacklisted", {"cancelled": done.cancelled, "in_flight": done.in_flight})

    @serves("X-B1-20")
    async def allow(self, call: Call[Any]) -> Reply:
        """Take a package off the blacklist."""
        with answering(call.row):
            await self._core.allow(_package(call))
        return Reply("allowed")

    @serves("X-B1-21")
    async def preview(self, call: Call[Any]) -> Reply:
        """Say what blacklisting a package would touch."""
        with answering(call.row):
            return Reply("found", await self._core.preview_blacklisting(_package(call)))


def _package(call: Call[Any]) -> PackageId:
    return PackageId(name=call.path["name"], version=call.path["version"])
