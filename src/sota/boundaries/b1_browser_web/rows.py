"""Rows of B1, Web Browser to Web Server: the JSON API, for the console and for programs with a token.

Pages, files and signing in are in ``page_rows.py``; ``ROWS`` holds both, in the whitelist's order. What Core or the
Resolver answers behind a row is passed on by its name, so outcomes are named as in B2 and B3.
"""

from __future__ import annotations

from sota.boundaries.b1_browser_web import admin_rows, messages, page_rows, passed_on_rows
from sota.boundaries.b1_browser_web.page_rows import B1
from sota.boundaries.interaction import Http, Role, answers, fails, refuses
from sota.boundaries.ordinary import (
    AUTHENTICATION_FAILED,
    FILTER_INVALID,
    NO_FILTERS,
    NOT_FOUND,
    PACKAGE_BLACKLISTED,
    PACKAGE_EXISTS,
    PACKAGE_IN_USE,
    PACKAGE_MISSING,
    TARGET_WIDENS,
)
from sota.boundaries.values import BATCH_LIMIT, Said, Vin

PAGED = ("limit", "cursor")
INSERTED = answers("inserted", "a new entry is made", "Row Inserted")
QUEUED = answers("queued", "the request is queued for the vehicles that the package's filters choose")
VIN_MISSING = refuses("vin_missing", 409, "VIN does not exist", "the VIN is not registered")
FILTER_MISSING = refuses("filter_missing", 409, "Filter does not exist", "there is no filter of that name")

NEW_VIN = B1.row(
    "WL-B1-4",
    "New VIN",
    Http("POST", "/api/v1/vehicles"),
    INSERTED,
    refuses("vin_exists", 409, "VIN already exists", "the VIN is registered already"),
    request=messages.NewVehicle,
    response=Said,
    role=Role.OPERATOR,
)
NEW_CAMPAIGN = B1.row(
    "WL-B1-5",
    "New campaign",
    Http("POST", "/api/v1/campaigns"),
    answers("campaign_created", "the package exists and its update is queued", "Campaign created"),
    refuses("package_unknown", 404, "Unknown Package ID", "the package is not registered"),
    also=(NO_FILTERS, PACKAGE_BLACKLISTED),
    request=messages.NewCampaign,
    response=messages.CampaignCreated,
    role=Role.OPERATOR,
)
NEW_FILTER = B1.row(
    "WL-B1-6",
    "New filter",
    Http("POST", "/api/v1/filters"),
    INSERTED,
    refuses("filter_exists", 409, "Filter already exists", "there is a filter of that name"),
    also=(FILTER_INVALID,),
    request=messages.Filter,
    response=Said,
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
    request=messages.Association,
    response=Said,
    role=Role.OPERATOR,
)
QUEUE_PACKAGE = B1.row(
    "WL-B1-8",
    "Queue Package Request",
    Http("POST", "/api/v1/install-requests"),
    QUEUED,
    PACKAGE_MISSING,
    NO_FILTERS,
    also=(PACKAGE_BLACKLISTED,),
    request=messages.QueueRequest,
    response=messages.Queued,
    role=Role.OPERATOR,
)
QUEUE_PACKAGES = B1.row(
    "WL-B1-18",
    "List Queue Package Request",
    Http("POST", "/api/v1/install-requests/batch", max_body=BATCH_LIMIT),
    QUEUED,
    PACKAGE_MISSING,
    NO_FILTERS,
    also=(PACKAGE_BLACKLISTED,),
    request=messages.QueueRequests,
    response=messages.Queued,
    role=Role.OPERATOR,
)
QUEUED_REQUESTS = B1.row(
    "WL-B1-19",
    "GET Queued Request",
    Http("GET", "/api/v1/install-requests", query=("package", "vin", "status", *PAGED)),
    answers("listed", "the queued update requests"),
    answers("empty", "there are no pending update requests: an empty list"),
    NO_FILTERS,
    also=(PACKAGE_MISSING,),
    response=list[messages.InstallRequest],
    role=Role.VIEWER,
)
SEARCH_VINS = B1.row(
    "WL-B1-20",
    "Search VINs Request",
    Http("GET", "/api/v1/vehicles", query=("regex", "packages", *PAGED)),
    answers("listed", "the VINs that match"),
    answers("empty", "no VIN matches: an empty list"),
    fails("Search VINs Request"),
    response=list[messages.ListedVehicle],
    role=Role.VIEWER,
)
UPLOAD_PACKAGE = B1.row(
    "WL-B1-21",
    "Upload New Package",
    Http("POST", "/api/v1/packages", max_body=None),
    answers("stored", "the file and its metadata are stored in both registers", "Package stored"),
    refuses("storing_failed", 500, "Upload New Package failed", "the file or its metadata cannot be stored"),
    AUTHENTICATION_FAILED,
    also=(PACKAGE_EXISTS,),
    request=messages.PackageMetadata,
    response=Said,
    role=Role.OPERATOR,
)
SEARCH_FILTERS = B1.row(
    "WL-B1-22",
    "Search Filters Request",
    Http("GET", "/api/v1/filters", query=("regex", *PAGED), selected_by="regex"),
    answers("listed", "the filters that match"),
    answers("empty", "no filter matches: an empty list"),
    fails("Search Filters Request"),
    response=list[messages.Filter],
    role=Role.VIEWER,
)
LIST_FILTERS = B1.row(
    "WL-B1-23",
    "List Filters Request",
    Http("GET", "/api/v1/filters", query=PAGED),
    answers("listed", "the available filters"),
    answers("empty", "there are no filters: an empty list"),
    fails("List Filters Request"),
    response=list[messages.Filter],
    role=Role.VIEWER,
)
UPDATE_FILTER = B1.row(
    "WL-B1-24",
    "Update Filter Request",
    Http("PUT", "/api/v1/filters/{name}", query=PAGED),
    answers("updated", "the available filters, this one changed"),
    FILTER_MISSING,
    fails("Update Filter Request"),
    also=(FILTER_INVALID,),
    request=messages.FilterChange,
    response=list[messages.Filter],
    role=Role.OPERATOR,
)
DELETE_FILTER = B1.row(
    "WL-B1-25",
    "Delete Filter Request",
    Http("DELETE", "/api/v1/filters/{name}", query=("widen", *PAGED)),
    answers("deleted", "the available filters, this one and its associations gone"),
    FILTER_MISSING,
    fails("Delete Filter Request"),
    also=(TARGET_WIDENS,),
    response=list[messages.Filter],
    role=Role.OPERATOR,
)
UPDATE_VIN_PACKAGES = B1.row(
    "WL-B1-26",
    "Update Packages per VIN Request",
    Http("PUT", "/api/v1/vehicles/{vin}/packages"),
    answers("changed", "the VIN's packages as they are now"),
    VIN_MISSING,
    fails("Update Packages per VIN Request"),
    request=messages.InstalledPackages,
    response=messages.InstalledPackages,
    role=Role.OPERATOR,
)
VIEW_VIN_PACKAGES = B1.row(
    "WL-B1-27",
    "View Packages per VIN Request",
    Http("GET", "/api/v1/vehicles/{vin}/packages", query=PAGED),
    answers("found", "the packages installed on the VIN, by name"),
    VIN_MISSING,
    fails("View Packages per VIN Request"),
    response=messages.InstalledPackages,
    role=Role.VIEWER,
)
VIEW_PACKAGE_VINS = B1.row(
    "WL-B1-28",
    "View VINs per Package Request",
    Http("GET", "/api/v1/packages/{name}/{version}/vehicles", query=PAGED),
    answers("found", "the VINs that have the package; an empty list where none has"),
    refuses("package_not_found", 409, "Package does not exist", "the package is not known"),
    fails("View VINs per Package Request"),
    response=list[Vin],
    role=Role.VIEWER,
)
NEW_COMPONENT = B1.row(
    "WL-B1-29",
    "New component",
    Http("POST", "/api/v1/components"),
    INSERTED,
    refuses("component_exists", 409, "Component already exists", "the part number is registered already"),
    request=messages.Component,
    response=Said,
    role=Role.OPERATOR,
)
SEARCH_COMPONENTS = B1.row(
    "WL-B1-30",
    "Search Components Request",
    Http("GET", "/api/v1/components", query=("regex", "id", "name", *PAGED)),
    answers("listed", "the components that match the regex, the ids or the name"),
    answers("empty", "no component matches: an empty list"),
    fails("Search Components Request"),
    response=list[messages.Component],
    role=Role.VIEWER,
)
COMPLETED_INSTALLS = B1.row(
    "WL-B1-31",
    "Completed installs of a request",
    Http("GET", "/api/v1/install-requests/{id}/completed", query=PAGED),
    answers("listed", "the VINs that have it, and since when"),
    answers("empty", "none has it yet: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.CompletedInstall],
    role=Role.VIEWER,
    note="extension: added by the authors later",
)
VEHICLE = B1.row(
    "X-B1-1",
    "A page of one vehicle",
    Http("GET", "/api/v1/vehicles/{vin}"),
    answers("found", "the vehicle, what is in it and its latest updates"),
    also=(NOT_FOUND,),
    response=messages.VehicleDetail,
    role=Role.VIEWER,
)
INSTALL_REQUEST = B1.row(
    "X-B1-2",
    "An install request",
    Http("GET", "/api/v1/install-requests/{id}"),
    answers("found", "the install request and its counts"),
    also=(NOT_FOUND,),
    response=messages.InstallRequest,
    role=Role.VIEWER,
)
REQUEST_VEHICLES = B1.row(
    "X-B1-3",
    "The vehicles of an install request",
    Http("GET", "/api/v1/install-requests/{id}/vehicles", query=("status", *PAGED)),
    answers("listed", "the updates of the request, one a vehicle"),
    answers("empty", "no update has that status: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Update],
    role=Role.VIEWER,
)
UPDATE = B1.row(
    "X-B1-4",
    "The update of one vehicle",
    Http("GET", "/api/v1/updates/{update_id}"),
    answers("found", "where the update stands"),
    also=(NOT_FOUND,),
    response=messages.Update,
    role=Role.VIEWER,
)
SEARCH_PACKAGES = B1.row(
    "X-B1-5",
    "Search Packages Request",
    Http("GET", "/api/v1/packages", query=("regex", *PAGED)),
    answers("listed", "the packages whose NAME/VERSION matches"),
    answers("empty", "no package matches: an empty list"),
    fails("Search Packages Request"),
    response=list[messages.Package],
    role=Role.VIEWER,
)
PACKAGE = B1.row(
    "X-B1-6",
    "A package",
    Http("GET", "/api/v1/packages/{name}/{version}"),
    answers("found", "the data of the package"),
    also=(NOT_FOUND,),
    response=messages.Package,
    role=Role.VIEWER,
)
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
    response=Said,
    role=Role.ADMIN,
)

ROWS = (
    page_rows.INDEX_PAGE,
    page_rows.SCRIPTS,
    page_rows.STYLESHEETS,
    NEW_VIN,
    NEW_CAMPAIGN,
    NEW_FILTER,
    NEW_ASSOCIATION,
    QUEUE_PACKAGE,
    page_rows.LOGIN_PAGE,
    page_rows.LOGIN,
    page_rows.SET_COOKIE,
    page_rows.SEND_COOKIE,
    page_rows.REDIRECT_TO_LOGIN,
    page_rows.REDIRECT_BACK,
    page_rows.REQUEST_PAGE,
    page_rows.PAGE,
    page_rows.REDIRECT_UNAUTHENTICATED,
    QUEUE_PACKAGES,
    QUEUED_REQUESTS,
    SEARCH_VINS,
    UPLOAD_PACKAGE,
    SEARCH_FILTERS,
    LIST_FILTERS,
    UPDATE_FILTER,
    DELETE_FILTER,
    UPDATE_VIN_PACKAGES,
    VIEW_VIN_PACKAGES,
    VIEW_PACKAGE_VINS,
    NEW_COMPONENT,
    SEARCH_COMPONENTS,
    COMPLETED_INSTALLS,
    VEHICLE,
    INSTALL_REQUEST,
    REQUEST_VEHICLES,
    UPDATE,
    SEARCH_PACKAGES,
    PACKAGE,
    page_rows.LOGOUT,
    page_rows.API_DOCUMENT,
    page_rows.API_PAGE,
    PACKAGE_FILE,
    DELETE_PACKAGE,
    *passed_on_rows.ROWS,
    *admin_rows.ROWS,
)
