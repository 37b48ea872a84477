"""Rows of B3, Web Server to External Resolver: filters, their packages, and the Resolver's own registers."""

from __future__ import annotations

from sota.boundaries import audit
from sota.boundaries.audit import AuditQuery
from sota.boundaries.b3_web_resolver import fleet_rows, messages, resolution_rows
from sota.boundaries.interaction import Boundary, Http, Program, answers, declared, fails, refuses
from sota.boundaries.ordinary import (
    AUTHENTICATION_FAILED,
    FILTER_INVALID,
    NO_FILTERS,
    NOT_FOUND,
    PACKAGE_EXISTS,
    PACKAGE_MISSING,
    RESOLUTION_EXISTS,
    TARGET_WIDENS,
)
from sota.boundaries.parameters import DeleteFilterQuery, ListQuery, RegexQuery, WidenQuery
from sota.boundaries.values import MessageOnly

B3 = Boundary("B3", Program.WEB_SERVER, Program.EXTERNAL_RESOLVER, also=(AUTHENTICATION_FAILED,))

INSERTED = answers("inserted", "a new entry is made", "Row Inserted")
FILTER_MISSING = refuses("filter_missing", 409, "Filter does not exist", "there is no filter of that name")

NEW_PACKAGE = B3.row(
    "WL-B3-1",
    "New package data",
    Http("POST", "/api/v1/packages", keyed=True),
    INSERTED,
    PACKAGE_EXISTS,
    request=messages.PackageToResolve,
    response=MessageOnly,
)
NEW_VIN = B3.row(
    "WL-B3-2",
    "New VIN",
    Http("POST", "/api/v1/vehicles", keyed=True),
    INSERTED,
    refuses("vin_exists", 409, "VIN already exists", "the VIN is registered already"),
    request=messages.VehicleToResolve,
    response=MessageOnly,
)
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
NEW_COMPONENT = B3.row(
    "X-B3-2",
    "New component",
    Http("POST", "/api/v1/components", keyed=True),
    INSERTED,
    refuses("component_exists", 409, "Component already exists", "the part number is registered already"),
    request=messages.ComponentToResolve,
    response=MessageOnly,
)
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

AUDIT = B3.row(
    "X-B3-30",
    "The audit trail of the External Resolver",
    Http("GET", "/api/v1/audit", query=AuditQuery),
    answers("listed", "the records that are asked for, newest first"),
    answers("empty", "there is no such record: an empty list"),
    response=list[audit.AuditRecord],
)

VERIFY_AUDIT = B3.row(
    "X-B3-31",
    "Check the audit trail of the External Resolver",
    Http("GET", "/api/v1/audit/verify"),
    answers("checked", "whether the chain holds, and where it is broken"),
    response=audit.AuditVerdict,
)

ROWS = (*declared(globals()), *fleet_rows.ROWS, *resolution_rows.ROWS)
