"""Rows of B10, the SOTA Client and the Software Loading Manager: HTTP inside the vehicle, with a bearer token."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sota.boundaries.b7_core_rvi import messages as transfers
from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b10_client_slm import messages
from sota.boundaries.interaction import Boundary, Http, Program, Service, answers, declared, refuses
from sota.boundaries.ordinary import NOT_FOUND

B10 = Boundary("B10", Program.SOTA_CLIENT, Program.SOFTWARE_LOADING_MANAGER)
TO_NODE = Boundary("B10", Program.SOTA_CLIENT, Program.RVI_NODE_CLIENT)
TO_CLIENT = Boundary("B10", Program.SOFTWARE_LOADING_MANAGER, Program.SOTA_CLIENT)

BLOCK_LIMIT = 1 << 20
FORM_LIMIT = 4096
FROM_DRIVER = Boundary("B10", Program.HEAD_UNIT, Program.SOFTWARE_LOADING_MANAGER)
DECIDED = refuses("decided", 409, "Already Decided", "the driver has accepted or declined it, or it has ended")
NO_DEFERRAL = refuses("not_deferrable", 409, "Not Deferrable", "it was put off too often, or that time is too late")

UPDATE_AVAILABLE = B10.row(
    "WL-B10-1",
    "Software Update Available",
    Http("POST", "/v1/updates"),
    outcomes.COMPLETE,
    outcomes.RESUMED_X_TIMES,
    request=transfers.UpdateAvailable,
    response=messages.VehicleUpdate,
)
INITIATE_DOWNLOAD = TO_CLIENT.row(
    "WL-B10-2",
    "Initiate Software Download",
    Http("POST", "/v1/downloads"),
    *outcomes.ENDINGS,
    also=(NOT_FOUND,),
    request=messages.DownloadWanted,
)
INITIATE_DOWNLOAD_AT_NODE = TO_NODE.row(
    "WL-B10-3",
    "Initiate Software Download at the node",
    Service("backend", "start", others=("cancel",)),
    *outcomes.ENDINGS,
    request={"start": transfers.InitiateDownload, "cancel": transfers.CancelDownload},
)
START_DOWNLOAD = B10.row(
    "WL-B10-4",
    "Start Download",
    Http("POST", "/v1/downloads/{index}/start"),
    *outcomes.ENDINGS,
    also=(NOT_FOUND,),
    request=transfers.StartDownload,
)
SEND_BLOCK = B10.row(
    "WL-B10-5",
    "Lowest numbered data block",
    Http("PUT", "/v1/downloads/{index}/blocks/{n}", max_body=BLOCK_LIMIT),
    outcomes.RECEIVED,
    outcomes.DUPLICATE,
    also=(NOT_FOUND,),
    request=bytes,
    response=messages.BlocksReceived,
)
INSTALL_REPORT = TO_CLIENT.row(
    "WL-B10-6",
    "Install Report",
    Http("POST", "/v1/reports"),
    outcomes.INSTALLED,
    outcomes.ALREADY_COMPLETE,
    outcomes.ALREADY_FAILED,
    also=(outcomes.FAILURE_RECORDED, NOT_FOUND),
    request=transfers.InstallReport,
)
GET_PACKAGES = B10.row(
    "WL-B10-7",
    "Get All Packages",
    Http("GET", "/v1/packages"),
    answers("listed", "the vehicle's packages and firmware"),
    refuses("failed", 409, "Get All Packages failed", "the installer cannot tell"),
    response=transfers.InstalledSoftware,
    note="extension: added by the authors later",
)

CANCEL_WANTED = TO_CLIENT.row(
    "X-B10-1",
    "Cancel Software Download, by the driver",
    Http("DELETE", "/v1/downloads/{index}"),
    answers("cancelled", "Core is told to interrupt the download"),
    also=(NOT_FOUND,),
)
CANCEL_DOWNLOAD = B10.row(
    "X-B10-2",
    "Cancel Software Download, by the backend",
    Http("DELETE", "/v1/downloads/{index}"),
    answers("cancelled", "the download is discarded"),
    also=(NOT_FOUND,),
)
FINISH_DOWNLOAD = B10.row(
    "X-B10-3",
    "Finalize Download",
    Http("POST", "/v1/downloads/{index}/finish"),
    outcomes.DOWNLOADED,
    outcomes.INCOMPLETE,
    also=(NOT_FOUND,),
)
UPDATE_STATUS = B10.row(
    "X-B10-4",
    "How an accepted update stands",
    Http("GET", "/v1/updates/{update_id}"),
    answers("found", "the update and its downloads"),
    also=(NOT_FOUND,),
    response=messages.VehicleUpdate,
)

CONSENT = FROM_DRIVER.row(
    "X-B10-5",
    "What waits for the driver",
    Http("GET", "/v1/consent"),
    answers("listed", "the updates that wait for the driver's word, the oldest first"),
    response=list[messages.ConsentQuestion],
)
GIVE_CONSENT = FROM_DRIVER.row(
    "X-B10-6",
    "The driver's word",
    Http("POST", "/v1/consent/{update_id}", max_body=FORM_LIMIT),
    answers("recorded", "it is accepted, put off or declined"),
    DECIDED,
    NO_DEFERRAL,
    also=(NOT_FOUND,),
    request=messages.ConsentAnswer,
)
CONSENT_PAGE = FROM_DRIVER.row(
    "X-B10-7",
    "The driver's page",
    Http("GET", "/driver/{secret}", asset=True, secret_path=True),
    answers("shown", "the page with the updates that wait for the driver's word"),
    also=(NOT_FOUND,),
)
CONSENT_FORM = FROM_DRIVER.row(
    "X-B10-8",
    "The driver's word on the page",
    Http("POST", "/driver/{secret}/{update_id}", asset=True, secret_path=True, max_body=FORM_LIMIT),
    answers("recorded", "it is accepted, put off or declined; the page follows", status=303),
    refuses("forbidden", 403, "Forbidden", "the form is not the page's own"),
    DECIDED,
    NO_DEFERRAL,
    also=(NOT_FOUND,),
)

STAGE = TO_CLIENT.row(
    "X-B10-9",
    "Stage of an installation",
    Http("POST", "/v1/stages"),
    answers("received", "Core is told what the installer does with the download now"),
    request=transfers.InstallationStage,
)
LOCAL_CHANGES = TO_CLIENT.row(
    "X-B10-40",
    "Locally changed software",
    Http("POST", "/v1/changes"),
    answers("received", "the changes are kept, and told to Core until it has them; none: it is told what is installed"),
    request=Annotated[list[transfers.LocalChange], Meta(max_length=1000)],
)

ROWS = declared(globals())
