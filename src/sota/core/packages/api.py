"""Routes of packages: B2-1 and -8 (one call), B2-11, search, look-up, deletion."""

from __future__ import annotations

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b2_web_core import messages, rows
from sota.boundaries.b2_web_core.queries import DeletePackageQuery
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import ListQuery, PackagePath, RegexQuery
from sota.core.packages import service, store
from sota.core.packages.model import Package
from sota.core.search import Pattern, search
from sota.kit.errors import Refused
from sota.kit.http.paging import BY_NAME, link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database


class PackagesApi:
    """Packages, for the Web Server."""

    def __init__(self, db: Database, once: Idempotency, clock: Clock) -> None:
        self.db, self.once, self.clock = db, once, clock

    @serves("WL-B2-1", "WL-B2-8")
    async def register(self, call: Call[None, None, messages.NewPackage]) -> Reply:
        """Register a package whose file the Web Server has stored."""
        new = from_wire(call.body, self.clock)
        try:
            return await self.once.change(call, "inserted", lambda tx: service.register_package(tx, new))
        except SQLAlchemyError as error:
            # B2-1 declares no outcome for a store that refuses the data, B2-8 does (the same call).
            get_logger().error("package_not_stored", package=new.text, reason=str(error)[:500])
            call.row = rows.NEW_PACKAGE_METADATA
            raise Refused("storing_failed", "The package's data could not be stored: try again.") from None

    @serves("WL-B2-11")
    async def view_vins(self, call: Call[PackagePath, ListQuery, None]) -> Reply:
        """Return the VINs that have a package, a page at a time."""
        limit, after = call.query.limit, read_cursor(call)
        name, version = call.path.name, call.path.version
        async with self.db.read() as tx:
            vins = await service.view_vins(tx, name, version, after, limit + 1)
        headers = link_next(call, vins[limit - 1]) if len(vins) > limit else {}
        return Reply("found", vins[:limit], headers=headers)

    @serves("X-B2-5")
    async def search(self, call: Call[None, RegexQuery, None]) -> Reply:
        """Return the packages whose NAME/VERSION matches, a page at a time."""
        pattern = Pattern(call.query.regex) if call.query.regex is not None else None
        limit, after = call.query.limit, read_cursor(call, BY_NAME)
        async with self.db.read() as tx:
            matches = (lambda entry: pattern.found_in(entry.text)) if pattern else None
            page, following = await search(
                lambda last, count: store.list_packages(tx, last, count),
                lambda entry: (entry.name, entry.version),
                matches,
                after=after,
                limit=limit,
            )
        headers = link_next(call, following) if following else {}
        return Reply("listed" if page else "empty", [to_wire(entry) for entry in page], headers=headers)

    @serves("X-B2-6")
    async def show(self, call: Call[PackagePath, None, None]) -> Reply:
        """Return one package's data."""
        async with self.db.read() as tx:
            found = await service.require_package(tx, call.path.name, call.path.version)
        return Reply("found", to_wire(found))

    @serves("X-B2-8")
    async def show_file(self, call: Call[PackagePath, None, None]) -> Reply:
        """Return where a package's file is stored."""
        async with self.db.read() as tx:
            found = await service.require_package(tx, call.path.name, call.path.version)
        return Reply("found", messages.PackageFile(uri=found.uri, size=found.size, sha256=found.sha256))

    @serves("X-B2-9")
    async def delete(self, call: Call[PackagePath, DeletePackageQuery, None]) -> Reply:
        """Delete a package that is no longer needed."""
        name, version, file = call.path.name, call.path.version, call.query.file
        return await self.once.change(call, "deleted", lambda tx: service.delete_package(tx, name, version, file))


def from_wire(body: messages.NewPackage, clock: Clock) -> Package:
    """Parse a package of B2."""
    signature = msgspec.json.encode(body.signature).decode() if body.signature is not None else None
    given = msgspec.structs.asdict(body) | {"signature": signature}
    return Package(**given, created_at=clock.now())


def to_wire(package: Package) -> messages.Package:
    """Format a package for B2."""
    return messages.Package(**{name: getattr(package, name) for name in messages.Package.__struct_fields__})
