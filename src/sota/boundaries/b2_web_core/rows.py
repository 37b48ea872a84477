"""Rows of B2, Web Server to SOTA Core: registers, install requests, what is installed.

Core's credential for its callers is a bearer token; a missing or wrong one is 404 'Authentication Failed' on every row.
"""

from __future__ import annotations

from sota.boundaries.b2_web_core import identity_rows, messages, queue_rows
from sota.boundaries.b2_web_core.queries import (
    ComponentQuery,
    DeletePackageQuery,
    RequestQuery,
    RequestVehicleQuery,
    VehicleQuery,
)
from sota.boundaries.b2_web_core.queue_rows import B2
from sota.boundaries.interaction import Http, answers, declared, fails, refuses
from sota.boundaries.ordinary import (
    AUTHENTICATION_FAILED,
    INSERTED,
    NO_FILTERS,
    NOT_FOUND,
    PACKAGE_BLACKLISTED,
    PACKAGE_EXISTS,
    PACKAGE_IN_USE,
    PACKAGE_MISSING,
)
from sota.boundaries.parameters import ListQuery, RegexQuery
from sota.boundaries.values import BATCH_LIMIT, MessageOnly, Vin

QUEUED = answers("queued", "the request is queued for the vehicles that the package's filters choose")

NEW_PACKAGE = B2.row(
    "WL-B2-1",
    "New package data",
    Http("POST", "/api/v1/packages", keyed=True),
    INSERTED,
    PACKAGE_EXISTS,
    request=messages.NewPackage,
    response=MessageOnly,
)
NEW_VIN = B2.row(
    "WL-B2-2",
    "New VIN",
    Http("POST", "/api/v1/vehicles", keyed=True),
    INSERTED,
    refuses("vin_exists", 409, "VIN already exists", "the VIN is registered already"),
    request=messages.NewVehicle,
    response=MessageOnly,
)
NEW_CAMPAIGN = B2.row(
    "WL-B2-3",
    "New campaign",
    Http("POST", "/api/v1/campaigns", keyed=True),
    answers("campaign_created", "the package exists and its update is queued", "Campaign created"),
    refuses("package_unknown", 404, "Unknown Package ID", "the package is not registered"),
    also=(NO_FILTERS, PACKAGE_BLACKLISTED),
    request=messages.NewCampaign,
    response=messages.CampaignCreated,
)
QUEUE_PACKAGE = B2.row(
    "WL-B2-4",
    "Queue Package Request",
    Http("POST", "/api/v1/install-requests", keyed=True),
    QUEUED,
    PACKAGE_MISSING,
    NO_FILTERS,
    also=(PACKAGE_BLACKLISTED,),
    request=messages.QueueRequest,
    response=messages.Queued,
)
QUEUE_PACKAGES = B2.row(
    "WL-B2-5",
    "List Queue Package Request",
    Http("POST", "/api/v1/install-requests/batch", max_body=BATCH_LIMIT, keyed=True),
    QUEUED,
    PACKAGE_MISSING,
    NO_FILTERS,
    also=(PACKAGE_BLACKLISTED,),
    request=messages.QueueRequests,
    response=messages.Queued,
)
QUEUED_REQUESTS = B2.row(
    "WL-B2-6",
    "GET Queued Request",
    Http("GET", "/api/v1/install-requests", query=RequestQuery),
    answers("listed", "the queued update requests"),
    answers("empty", "there are no pending update requests: an empty list"),
    NO_FILTERS,
    also=(PACKAGE_MISSING,),
    response=list[messages.InstallRequest],
)
SEARCH_VINS = B2.row(
    "WL-B2-7",
    "Search VINs Request",
    Http("GET", "/api/v1/vehicles", query=VehicleQuery),
    answers("listed", "the VINs that match"),
    answers("empty", "no VIN matches: an empty list"),
    fails("Search VINs Request"),
    response=list[messages.ListedVehicle],
)
NEW_PACKAGE_METADATA = B2.row(
    "WL-B2-8",
    "Upload New Package",
    Http("POST", "/api/v1/packages", keyed=True),
    answers("stored", "the metadata are stored", "Row Inserted"),
    refuses("storing_failed", 500, "Upload New Package failed", "the metadata cannot be stored"),
    AUTHENTICATION_FAILED,
    also=(PACKAGE_EXISTS,),
    request=messages.NewPackage,
    response=MessageOnly,
)
UPDATE_VIN_PACKAGES = B2.row(
    "WL-B2-9",
    "Update Packages per VIN Request",
    Http("PUT", "/api/v1/vehicles/{vin}/packages"),
    answers("changed", "the VIN's packages as they are now"),
    refuses("vin_missing", 409, "VIN does not exist", "the VIN is not registered"),
    fails("Update Packages per VIN Request"),
    request=messages.InstalledPackages,
    response=messages.InstalledPackages,
)
VIEW_VIN_PACKAGES = B2.row(
    "WL-B2-10",
    "View Packages per VIN Request",
    Http("GET", "/api/v1/vehicles/{vin}/packages", query=ListQuery),
    answers("found", "the packages installed on the VIN, by name"),
    refuses("vin_missing", 409, "VIN does not exist", "the VIN is not registered"),
    fails("View Packages per VIN Request"),
    response=messages.InstalledPackages,
)
VIEW_PACKAGE_VINS = B2.row(
    "WL-B2-11",
    "View VINs per Package Request",
    Http("GET", "/api/v1/packages/{name}/{version}/vehicles", query=ListQuery),
    answers("found", "the VINs that have the package; an empty list where none has"),
    refuses("package_not_found", 409, "Package does not exist", "the package is not known"),
    fails("View VINs per Package Request"),
    response=list[Vin],
)
COMPONENT = B2.row(
    "WL-B2-12",
    "Component look-up",
    Http("GET", "/api/v1/components/{part_number}"),
    answers("found", "the component exists", "Component already created"),
    refuses("component_unknown", 404, "Unknown Component ID", "the component does not exist"),
    response=messages.Component,
)
SEARCH_COMPONENTS = B2.row(
    "WL-B2-13",
    "Search Components Request",
    Http("GET", "/api/v1/components", query=ComponentQuery),
    answers("listed", "the components that match the regex, the ids or the name"),
    answers("empty", "no component matches: an empty list"),
    fails("Search Components Request"),
    response=list[messages.Component],
)
COMPLETED_INSTALLS = B2.row(
    "WL-B2-14",
    "Completed installs of a request",
    Http("GET", "/api/v1/install-requests/{id}/completed", query=ListQuery),
    answers("listed", "the VINs that have it, and since when"),
    answers("empty", "none has it yet: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.CompletedInstall],
    note="extension: added by the authors later",
)

VEHICLE = B2.row(
    "X-B2-1",
    "A vehicle's page",
    Http("GET", "/api/v1/vehicles/{vin}"),
    answers("found", "the vehicle, what is in it and its latest updates"),
    also=(NOT_FOUND,),
    response=messages.VehicleDetail,
)
INSTALL_REQUEST = B2.row(
    "X-B2-2",
    "An install request",
    Http("GET", "/api/v1/install-requests/{id}"),
    answers("found", "the install request and its counts"),
    also=(NOT_FOUND,),
    response=messages.InstallRequest,
)
REQUEST_VEHICLES = B2.row(
    "X-B2-3",
    "The vehicles of an install request",
    Http("GET", "/api/v1/install-requests/{id}/vehicles", query=RequestVehicleQuery),
    answers("listed", "the updates of the request, one a vehicle"),
    answers("empty", "no update has that status: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Update],
)
UPDATE = B2.row(
    "X-B2-4",
    "One vehicle's update",
    Http("GET", "/api/v1/updates/{update_id}"),
    answers("found", "where the update stands"),
    also=(NOT_FOUND,),
    response=messages.Update,
)
SEARCH_PACKAGES = B2.row(
    "X-B2-5",
    "Search Packages Request",
    Http("GET", "/api/v1/packages", query=RegexQuery),
    answers("listed", "the packages whose NAME/VERSION matches"),
    answers("empty", "no package matches: an empty list"),
    fails("Search Packages Request"),
    response=list[messages.Package],
)
PACKAGE = B2.row(
    "X-B2-6",
    "A package",
    Http("GET", "/api/v1/packages/{name}/{version}"),
    answers("found", "the package's data"),
    also=(NOT_FOUND,),
    response=messages.Package,
)
NEW_COMPONENT = B2.row(
    "X-B2-7",
    "New component",
    Http("POST", "/api/v1/components", keyed=True),
    INSERTED,
    refuses("component_exists", 409, "Component already exists", "the part number is registered already"),
    request=messages.Component,
    response=MessageOnly,
)
PACKAGE_FILE = B2.row(
    "X-B2-8",
    "Where a package's file lies",
    Http("GET", "/api/v1/packages/{name}/{version}/file"),
    answers("found", "the opaque key of the file in the repository, its size and SHA-256"),
    also=(NOT_FOUND,),
    response=messages.PackageFile,
)
DELETE_PACKAGE = B2.row(
    "X-B2-9",
    "Delete a package",
    Http("DELETE", "/api/v1/packages/{name}/{version}", query=DeletePackageQuery, keyed=True),
    answers("deleted", "the package is no longer registered", "Package deleted"),
    PACKAGE_IN_USE,
    also=(NOT_FOUND,),
    response=MessageOnly,
)

ROWS = (*declared(globals()), *queue_rows.ROWS, *identity_rows.ROWS)
