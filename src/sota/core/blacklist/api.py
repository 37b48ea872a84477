"""Routes of the blacklist. A package is marked first, so that nothing new is queued; then waiting updates are
cancelled."""

from __future__ import annotations

from sota.boundaries.b2_web_core import messages
from sota.boundaries.b2_web_core.queries import BlacklistQuery
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import PackagePath
from sota.boundaries.values import Reason
from sota.core.blacklist import service, store
from sota.core.queue.endings import Endings
from sota.core.queue.store import of_package
from sota.core.requests.model import PackageKey
from sota.kit.runtime.logging import get_logger


class BlacklistApi:
    """The blacklist, for the Web Server."""

    def __init__(self, endings: Endings) -> None:
        self.endings, self.db, self.clock = endings, endings.db, endings.clock

    @serves("X-B2-17")
    async def blacklist(self, call: Call[PackagePath, BlacklistQuery, messages.Blacklisting]) -> Reply:
        """Blacklist a package, and cancel its waiting updates; ``stop=true`` also the running ones."""
        package, stop = (call.path.name, call.path.version), call.query.stop
        await self.db.transact(lambda tx: service.blacklist(tx, package, call.body.comment, self.clock))
        cancelled = await self._cancel(package, stop=stop)
        get_logger().info("package_blacklisted", package="/".join(package), cancelled=cancelled)
        async with self.db.read() as tx:
            touched = await store.count_touched(tx, package)
        return Reply("blacklisted", {"cancelled": cancelled, "in_flight": touched.in_flight})

    @serves("X-B2-18")
    async def allow(self, call: Call[PackagePath, None, None]) -> Reply:
        """Remove a package from the blacklist."""
        package = (call.path.name, call.path.version)
        await self.db.transact(lambda tx: service.allow(tx, package))
        return Reply("allowed")

    @serves("X-B2-19")
    async def preview(self, call: Call[PackagePath, None, None]) -> Reply:
        """Return what blacklisting a package would affect."""
        async with self.db.read() as tx:
            return Reply("found", await service.preview(tx, (call.path.name, call.path.version)))

    async def finish(self) -> None:
        """Cancel updates that still wait with blacklisted packages, after an interrupted blacklisting."""
        async with self.db.read() as tx:
            packages = await store.list_waited_for(tx)
        for package in packages:
            await self._cancel(package, stop=False)

    async def _cancel(self, package: PackageKey, *, stop: bool) -> int:
        return await self.endings.end(of_package(package), Reason.BLACKLISTED, in_flight_too=stop)
