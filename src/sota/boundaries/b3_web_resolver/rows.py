"""Rows of B3, Web Server to External Resolver: filters, their packages, and the Resolver's own registers."""

from __future__ import annotations

from sota.boundaries.b2_web_core import queue_rows as core_queues
from sota.boundaries.b2_web_core import rows as core
from sota.boundaries.b3_web_resolver import fleet_rows, messages, resolution_rows
from sota.boundaries.b3_web_resolver.fleet_rows import B3
from sota.boundaries.interaction import Http, answers, declared, fails, refuses
from sota.boundaries.ordinary import (
    FILTER_INVALID,
    INSERTED,
    NO_FILTERS,
    NOT_FOUND,
    PACKAGE_MISSING,
    RESOLUTION_EXISTS,
    TARGET_WIDENS,
)
from sota.boundaries.parameters import DeleteFilterQuery, ListQuery, RegexQuery, WidenQuery
from sota.boundaries.values import MessageOnly

FILTER_MISSING = refuses("filter_missing", 409, "Filter does not exist", "there is no filter of that name")

NEW_PACKAGE = B3.like("WL-B3-1", core.NEW_PACKAGE, request=messages.PackageToResolve)
NEW_VIN = B3.like("WL-B3-2", core.NEW_VIN, request=messages.VehicleToResolve)
NEW_ASSOCIATION = B3.row(
    "WL-B3-3",
    "New Filter/Package association",
    Http("POST", "/api/v1/packages/{name}/{version}/filters", keyed=True),
    INSERTED,
    refuses("association_exists", 409, "Filter/Package association already exists", "the package has the filter"),
    refuses("filter_label_missing", 404, "Filter label does not exist", "there is no filter of that name"),
    PACKAGE_MISSING,
    request=messages.Association,
    response=MessageOnly,
)
NEW_FILTER = B3.row(
    "WL-B3-4",
    "New filter",
    Http("POST", "/api/v1/filters", keyed=True),
    INSERTED,
    refuses("filter_exists", 409, "Filter already exists", "there is a filter of that name"),
    FILTER_INVALID,
    request=messages.Filter,
    response=MessageOnly,
)
RESOLVE = B3.row(
    "WL-B3-5",
    "Resolve VIN Request",
    Http("POST", "/api/v1/resolve", read_only=True),
    answers("resolved", "the subset of all VINs that passed all filters, each with the packages that it must get"),
    NO_FILTERS,
    also=(PACKAGE_MISSING, RESOLUTION_EXISTS),
    request=messages.ResolveRequest,
    response=list[messages.Resolved],
)
SEARCH_FILTERS = B3.row(
    "WL-B3-6",
    "Search Filters Request",
    Http("GET", "/api/v1/filters", query=RegexQuery, selected_by="regex"),
    answers("listed", "the filters that match"),
    answers("empty", "no filter matches: an empty list"),
    fails("Search Filters Request"),
    response=list[messages.Filter],
)
LIST_FILTERS = B3.row(
    "WL-B3-7",
    "List Filters Request",
    Http("GET", "/api/v1/filters", query=RegexQuery),
    answers("listed", "the available filters"),
    answers("empty", "there are no filters: an empty list"),
    fails("List Filters Request"),
    response=list[messages.Filter],
)
UPDATE_FILTER = B3.row(
    "WL-B3-8",
    "Update Filter Request",
    Http("PUT", "/api/v1/filters/{name}", query=ListQuery),
    answers("updated", "the available filters, this one changed"),
    FILTER_MISSING,
    fails("Update Filter Request"),
    also=(FILTER_INVALID,),
    request=messages.FilterChange,
    response=list[messages.Filter],
)
DELETE_FILTER = B3.row(
    "WL-B3-9",
    "Delete Filter Request",
    Http("DELETE", "/api/v1/filters/{name}", query=DeleteFilterQuery),
    answers("deleted", "the available filters, this one and its associations gone"),
    FILTER_MISSING,
    fails("Delete Filter Request"),
    also=(TARGET_WIDENS,),
    response=list[messages.Filter],
)

PACKAGE_FILTERS = B3.row(
    "X-B3-1",
    "The filters of a package",
    Http("GET", "/api/v1/packages/{name}/{version}/filters", query=ListQuery),
    answers("listed", "the package's filters, by name"),
    answers("empty", "the package has none: an empty list"),
    also=(PACKAGE_MISSING,),
    response=list[messages.Filter],
)
DETACH_FILTER = B3.row(
    "X-B3-26",
    "Detach a filter from a package",
    Http("DELETE", "/api/v1/packages/{name}/{version}/filters/{filter}", query=WidenQuery),
    answers("detached", "the package has the filter no longer; the filter itself stays", "Filter detached"),
    TARGET_WIDENS,
    also=(NOT_FOUND,),
    response=MessageOnly,
)
NEW_COMPONENT = B3.like("X-B3-2", core.NEW_COMPONENT, request=messages.ComponentToResolve)
DELETE_PACKAGE = B3.row(
    "X-B3-3",
    "Delete a package",
    Http("DELETE", "/api/v1/packages/{name}/{version}", keyed=True),
    answers("deleted", "the package, its dependencies and its associations are gone", "Package deleted"),
    also=(NOT_FOUND,),
    response=MessageOnly,
)
DELETE_VEHICLE = B3.row(
    "X-B3-4",
    "Delete a vehicle",
    Http("DELETE", "/api/v1/vehicles/{vin}", keyed=True),
    answers("deleted", "the vehicle and what is known of it are gone", "Vehicle deleted"),
    also=(NOT_FOUND,),
    response=MessageOnly,
)

AUDIT = B3.like("X-B3-30", core_queues.AUDIT, title="The audit trail of the External Resolver")

VERIFY_AUDIT = B3.like("X-B3-31", core_queues.VERIFY_AUDIT, title="Check the audit trail of the External Resolver")

ROWS = (*declared(globals()), *fleet_rows.ROWS, *resolution_rows.ROWS)
