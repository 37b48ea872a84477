"""Use cases of the blacklist: add a package, remove it, and report the effects."""

from __future__ import annotations

from sota.boundaries.b2_web_core.messages import BlacklistPreview
from sota.core.blacklist import store
from sota.core.packages import service as package_service
from sota.core.packages import store as package_store
from sota.core.requests.model import PackageKey
from sota.kit.errors import NotFound
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


async def blacklist(tx: Tx, package: PackageKey, comment: str, clock: Clock) -> None:
    """Blacklist a package. An update that is queued at this moment is either refused, or found afterwards.

    Raises:
        NotFound: it is not registered.
    """
    found = await package_store.lock_package(tx, *package)
    if found is None:
        raise NotFound(f"The package {'/'.join(package)} is not registered.")
    await store.write(tx, package, comment, found.blacklisted_at or clock.now())


async def allow(tx: Tx, package: PackageKey) -> None:
    """Remove a package from the blacklist. Cancelled updates stay cancelled: they can be retried.

    Raises:
        NotFound: it is not registered.
    """
    await package_service.require_package(tx, *package)
    await store.write(tx, package, None, None)


async def preview(tx: Tx, package: PackageKey) -> BlacklistPreview:
    """Return the effects of blacklisting a package.

    Raises:
        NotFound: it is not registered.
    """
    await package_service.require_package(tx, *package)
    return await store.count_touched(tx, package)
