"""Use cases of the blacklist: put a package on it, take it off, and say what that touches."""

from __future__ import annotations

from sota.core.blacklist import store
from sota.core.blacklist.store import Touched
from sota.core.packages import service as package_service
from sota.core.packages import store as package_store
from sota.core.requests.model import PackageKey
from sota.kit.errors import NotFound
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


async def blacklist(tx: Tx, package: PackageKey, comment: str, clock: Clock) -> None:
    """Put a package on the blacklist. What is queued at this moment is either refused, or found when this is over.

    Raises:
        NotFound: it is not registered.
    """
    found = await package_store.lock_package(tx, *package)
    if found is None:
        raise NotFound(f"The package {'/'.join(package)} is not registered.")
    await store.write(tx, package, comment, found.blacklisted_at or clock.now())


async def allow(tx: Tx, package: PackageKey) -> None:
    """Take a package off the blacklist. What was cancelled stays so: it can be tried again.

    Raises:
        NotFound: it is not registered.
    """
    await package_service.require_package(tx, *package)
    await store.write(tx, package, None, None)


async def preview(tx: Tx, package: PackageKey) -> Touched:
    """Say what blacklisting a package would touch.

    Raises:
        NotFound: it is not registered.
    """
    await package_service.require_package(tx, *package)
    return await store.count_touched(tx, package)
