"""Rows of B6, External Resolver to its database: what each statement can give, as typed results; texts are for logs.

Wrong credentials stop the program at its start, on MariaDB; SQLite has none (docs/specification.md, ruling 17).
"""

from __future__ import annotations

from sota.boundaries.interaction import Boundary, Program, Sql, declared, results
from sota.boundaries.store_result import FOUND_OR_MISSING, MISSING, NEW_OR_EXISTS, REJECTED

B6 = Boundary("B6", Program.EXTERNAL_RESOLVER, Program.RESOLVER_DATABASE)

NEW_VIN = B6.row("WL-B6-1", "Persist new VIN", Sql("INSERT", ("vehicle",)), *NEW_OR_EXISTS, REJECTED)
NEW_PACKAGE = B6.row("WL-B6-2", "Persist new package data", Sql("INSERT", ("package",)), *NEW_OR_EXISTS, REJECTED)
NEW_FILTER = B6.row("WL-B6-3", "Persist new filter data", Sql("INSERT", ("filter",)), *NEW_OR_EXISTS, REJECTED)
NEW_ASSOCIATION = B6.row(
    "WL-B6-4",
    "Persist filter-to-package association",
    Sql("INSERT", ("package_filter",)),
    *NEW_OR_EXISTS,
    results("filter_missing", "Filter does not exist", "there is no such filter"),
    results("package_missing", "Package does not exist", "there is no such package"),
    REJECTED,
)
FIND_PACKAGE_FILTERS = B6.row(
    "WL-B6-5",
    "Look up Package ID filters",
    Sql(
        "SELECT",
        (
            "package_filter",
            "filter",
        ),
    ),
    *FOUND_OR_MISSING,
)
FIND_VIN = B6.row("WL-B6-6", "Look up VIN", Sql("SELECT", ("vehicle",)), *FOUND_OR_MISSING)
FIND_VIN_DEPENDENCIES = B6.row(
    "WL-B6-7",
    "Look up Package Dependencies",
    Sql(
        "SELECT",
        (
            "installed_package",
            "package_dependency",
        ),
    ),
    results("found", None, "what the VIN has installed, and the dependencies among it"),
    MISSING,
    REJECTED,
)
SEARCH_FILTERS = B6.row("WL-B6-8", "Look up Filters", Sql("SELECT", ("filter",)), *FOUND_OR_MISSING)
CHANGE_FILTERS = B6.row(
    "WL-B6-9",
    "Update Filters",
    Sql("UPDATE", ("filter",)),
    results("updated", None, "the number of filters updated"),
    MISSING,
    REJECTED,
)
DELETE_FILTERS = B6.row(
    "WL-B6-10",
    "Delete Filters",
    Sql("DELETE", ("filter",)),
    results("deleted", None, "the number of filters deleted"),
    MISSING,
    REJECTED,
)
CHANGE_VIN_PACKAGES = B6.row(
    "WL-B6-11",
    "Update the installed packages of a VIN",
    Sql("UPDATE", ("installed_package",)),
    results("changed", None, "the VIN's packages as they are now"),
    MISSING,
    REJECTED,
    note="extension: added by the authors later",
)

ROWS = declared(globals())
