"""Rows of B4, SOTA Core to its database: what each statement can give, as typed results whose texts appear in logs.

Wrong credentials stop the program at its start, on MariaDB; SQLite has none (docs/specification.md, ruling 17).
"""

from __future__ import annotations

from sota.boundaries.interaction import Boundary, Program, Sql, declared, results
from sota.boundaries.store_result import FOUND, FOUND_OR_MISSING, MISSING, NEW_OR_EXISTS, REJECTED

B4 = Boundary("B4", Program.SOTA_CORE, Program.CORE_DATABASE)

NEW_VIN = B4.row("WL-B4-1", "Persist new VIN", Sql("INSERT", ("vehicle",)), *NEW_OR_EXISTS, REJECTED)
NEW_PACKAGE = B4.row("WL-B4-2", "Persist new package data", Sql("INSERT", ("package",)), *NEW_OR_EXISTS, REJECTED)
FIND_PACKAGE = B4.row("WL-B4-3", "Look up Package ID", Sql("SELECT", ("package",)), *FOUND_OR_MISSING)
FIND_UPDATE = B4.row("WL-B4-4", "Look up Update", Sql("SELECT", ("vehicle_update",)), *FOUND_OR_MISSING)
SEARCH_VINS = B4.row("WL-B4-5", "Look up VINs", Sql("SELECT", ("vehicle",)), *FOUND_OR_MISSING)
FIND_VIN_PACKAGES = B4.row(
    "WL-B4-6", "Look up Packages per VIN", Sql("SELECT", ("installed_package",)), *FOUND_OR_MISSING
)
CHANGE_VIN_PACKAGES = B4.row(
    "WL-B4-7",
    "Update Packages per VIN",
    Sql("UPDATE", ("installed_package",)),
    results("changed", None, "the VIN's packages as they are now"),
    MISSING,
    REJECTED,
)
FIND_PACKAGE_VINS = B4.row(
    "WL-B4-8",
    "Look up VINs per Package",
    Sql("SELECT", ("installed_package",)),
    FOUND,
    results("none_installed", "No VINs have this package installed", "no VIN has the package"),
    REJECTED,
)
NEW_COMPONENT = B4.row("WL-B4-9", "Persist new Component", Sql("INSERT", ("component",)), *NEW_OR_EXISTS, REJECTED)
SEARCH_COMPONENTS = B4.row("WL-B4-10", "Look up Components", Sql("SELECT", ("component",)), *FOUND_OR_MISSING)
FIND_INSTALL_REQUEST = B4.row(
    "WL-B4-11",
    "Look up Install Request",
    Sql("SELECT", ("install_request",)),
    *FOUND_OR_MISSING,
    note="extension: added by the authors later",
)

ROWS = declared(globals())
