"""Use cases of packages: register an upload, look it up, and list the vehicles that have it."""

from __future__ import annotations

from sota.core.packages import store
from sota.core.packages.model import Package
from sota.kit.errors import NotFound, Refused
from sota.kit.sql.database import Tx


async def register_package(tx: Tx, new: Package) -> None:
    """Register a package whose file is in the repository.

    Raises:
        Refused: ``package_exists``.
    """
    if (await store.insert_package(tx, new)).outcome == "exists":
        raise Refused("package_exists", f"The package {new.text} is registered already.")


async def require_package(tx: Tx, name: str, version: str) -> Package:
    """Return the package of an extension's path.

    Raises:
        NotFound: it is not registered.
    """
    found = await store.find_package(tx, name, version)
    if found.data is None:
        raise NotFound(f"The package {name}/{version} is not registered.")
    return found.data


async def view_vins(tx: Tx, name: str, version: str, after: str | None, count: int) -> list[str]:
    """Return the VINs that have a package, even one that only vehicles know (a foreign one).

    Raises:
        Refused: ``package_not_found``.
    """
    result = await store.find_vins(tx, name, version, after, count)
    if result.data:
        return result.data
    known = (await store.find_package(tx, name, version)).data is not None
    if not known and (await store.find_vins(tx, name, version, None, 1)).outcome == "none_installed":
        raise Refused("package_not_found", f"The package {name}/{version} is not known.")
    return []


async def delete_package(tx: Tx, name: str, version: str, file: str | None) -> None:
    """Delete a package that is no longer needed; ``file`` is the file that the caller means.

    Ended updates keep the package's name. A package with another file was uploaded since, and is a different one.

    Raises:
        NotFound: it is not registered, or with another file.
        Refused: ``package_in_use``.
    """
    found = await store.lock_package(tx, name, version)
    if found is None or file not in (None, found.uri):
        raise NotFound(f"The package {name}/{version} is not registered.")
    needed_by = await store.find_open_update(tx, name, version)
    if needed_by is not None:
        raise Refused("package_in_use", f"The update {needed_by} is not over and needs {found.text}.")
    having = (await store.find_vins(tx, name, version, None, 1)).data
    if having:
        raise Refused("package_in_use", f"{found.text} is installed on vehicles, for example {having[0]}.")
    await store.delete_package(tx, name, version)
