"""Rows of B1, Web Browser to Web Server: the JSON API, for the console and for programs with a token.

Pages, files and signing in are in ``page_rows.py``; ``ROWS`` holds both, in the whitelist's order. What Core or the
Resolver answers behind a row is passed on by its name, so outcomes are named as in B2 and B3.
"""

from __future__ import annotations

from sota.boundaries.b1_browser_web import admin_rows, messages, page_rows, passed_on_rows
from sota.boundaries.b1_browser_web.page_rows import B1
from sota.boundaries.b1_browser_web.passed_on_rows import passed_on
from sota.boundaries.b2_web_core import rows as core
from sota.boundaries.b3_web_resolver import messages as filters
from sota.boundaries.b3_web_resolver import rows as resolver
from sota.boundaries.interaction import Http, Role, answers, declared, refuses
from sota.boundaries.ordinary import (
    AUTHENTICATION_FAILED,
    FILTER_INVALID,
    INSERTED,
    NOT_FOUND,
    PACKAGE_EXISTS,
    PACKAGE_IN_USE,
    PACKAGE_MISSING,
)
from sota.boundaries.values import MessageOnly

NEW_VIN = passed_on("WL-B1-4", core.NEW_VIN, Role.OPERATOR)
NEW_CAMPAIGN = passed_on("WL-B1-5", core.NEW_CAMPAIGN, Role.OPERATOR, keyed=True)
NEW_FILTER = B1.row(
    "WL-B1-6",
    "New filter",
    Http("POST", "/api/v1/filters"),
    INSERTED,
    refuses("filter_exists", 409, "Filter already exists", "there is a filter of that name"),
    also=(FILTER_INVALID,),
    request=filters.Filter,
    response=MessageOnly,
    role=Role.OPERATOR,
)
NEW_ASSOCIATION = B1.row(
    "WL-B1-7",
    "New Filter/Package association",
    Http("POST", "/api/v1/packages/{name}/{version}/filters"),
    INSERTED,
    refuses("association_exists", 409, "Filter/Package association already exists", "the package has the filter"),
    also=(
        refuses("filter_label_missing", 404, "Filter label does not exist", "there is no filter of that name"),
        PACKAGE_MISSING,
    ),
    request=filters.Association,
    response=MessageOnly,
    role=Role.OPERATOR,
)
QUEUE_PACKAGE = passed_on("WL-B1-8", core.QUEUE_PACKAGE, Role.OPERATOR, keyed=True)
QUEUE_PACKAGES = passed_on("WL-B1-18", core.QUEUE_PACKAGES, Role.OPERATOR, keyed=True)
QUEUED_REQUESTS = passed_on("WL-B1-19", core.QUEUED_REQUESTS, Role.VIEWER)
SEARCH_VINS = passed_on("WL-B1-20", core.SEARCH_VINS, Role.VIEWER)
UPLOAD_PACKAGE = B1.row(
    "WL-B1-21",
    "Upload New Package",
    Http("POST", "/api/v1/packages", max_body=None),
    answers("stored", "the file and its metadata are stored in both registers", "Package stored"),
    refuses("storing_failed", 500, "Upload New Package failed", "the file or its metadata cannot be stored"),
    AUTHENTICATION_FAILED,
    also=(PACKAGE_EXISTS,),
    request=messages.PackageMetadata,
    response=MessageOnly,
    role=Role.OPERATOR,
)
SEARCH_FILTERS = passed_on("WL-B1-22", resolver.SEARCH_FILTERS, Role.VIEWER)
LIST_FILTERS = passed_on("WL-B1-23", resolver.LIST_FILTERS, Role.VIEWER)
UPDATE_FILTER = passed_on("WL-B1-24", resolver.UPDATE_FILTER, Role.OPERATOR)
DELETE_FILTER = passed_on("WL-B1-25", resolver.DELETE_FILTER, Role.OPERATOR)
UPDATE_VIN_PACKAGES = passed_on("WL-B1-26", core.UPDATE_VIN_PACKAGES, Role.OPERATOR)
VIEW_VIN_PACKAGES = passed_on("WL-B1-27", core.VIEW_VIN_PACKAGES, Role.VIEWER)
VIEW_PACKAGE_VINS = passed_on("WL-B1-28", core.VIEW_PACKAGE_VINS, Role.VIEWER)
NEW_COMPONENT = passed_on("WL-B1-29", core.NEW_COMPONENT, Role.OPERATOR)
SEARCH_COMPONENTS = passed_on("WL-B1-30", core.SEARCH_COMPONENTS, Role.VIEWER)
COMPLETED_INSTALLS = passed_on("WL-B1-31", core.COMPLETED_INSTALLS, Role.VIEWER)
VEHICLE = passed_on("X-B1-1", core.VEHICLE, Role.VIEWER)
INSTALL_REQUEST = passed_on("X-B1-2", core.INSTALL_REQUEST, Role.VIEWER)
REQUEST_VEHICLES = passed_on("X-B1-3", core.REQUEST_VEHICLES, Role.VIEWER)
UPDATE = passed_on("X-B1-4", core.UPDATE, Role.VIEWER)
SEARCH_PACKAGES = passed_on("X-B1-5", core.SEARCH_PACKAGES, Role.VIEWER)
PACKAGE = passed_on("X-B1-6", core.PACKAGE, Role.VIEWER)
PACKAGE_FILE = B1.row(
    "X-B1-10",
    "A package's file",
    Http("GET", "/api/v1/packages/{name}/{version}/file"),
    answers("sent", "the file, whole; its ETag is its SHA-256"),
    answers("partial", "the range that was asked for", status=206),
    answers("unchanged", "the caller has this file already: If-None-Match names it", status=304),
    refuses("out_of_range", 416, "Range Not Satisfiable", "the file ends before the range begins"),
    also=(NOT_FOUND,),
    response=bytes,
    role=Role.VIEWER,
)
DELETE_PACKAGE = B1.row(
    "X-B1-11",
    "Delete a package",
    Http("DELETE", "/api/v1/packages/{name}/{version}"),
    answers("deleted", "the package is in neither register, and its file goes", "Package deleted"),
    PACKAGE_IN_USE,
    also=(NOT_FOUND,),
    response=MessageOnly,
    role=Role.ADMIN,
)

ROWS = (*declared(globals()), *page_rows.ROWS, *passed_on_rows.ROWS, *admin_rows.ROWS)
