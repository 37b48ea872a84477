"""Rows of B8, the data link between the two RVI nodes: what Core and vehicle say to one another, as ``rcv`` messages.

The link has no HTTP, so these rows have no outcomes of their own: those of B7 and B9 pass through as data.
"""

from __future__ import annotations

from sota.boundaries.b7_core_rvi import messages
from sota.boundaries.interaction import Boundary, Program, Service, declared

B8 = Boundary("B8", Program.RVI_NODE_SERVER, Program.RVI_NODE_CLIENT)
TO_SERVER = Boundary("B8", Program.RVI_NODE_CLIENT, Program.RVI_NODE_SERVER)

UPDATE_AVAILABLE = B8.row(
    "WL-B8-1", "Software Update Available", Service("vehicle", "notify"), request=messages.UpdateAvailable
)
START_DOWNLOAD = B8.row(
    "WL-B8-2",
    "Start Download",
    Service("vehicle", "start", others=("abort",)),
    request={"start": messages.StartDownload, "abort": messages.AbortDownload},
)
SEND_BLOCK = TO_SERVER.row("WL-B8-3", "Lowest numbered data block", Service("vehicle", "chunk"), request=messages.Block)
FINISH_DOWNLOAD = B8.row("WL-B8-4", "Finalize Download", Service("vehicle", "finish"), request=messages.FinishDownload)
INSTALL_REPORT = B8.row("WL-B8-5", "Install Report", Service("backend", "report"), request=messages.InstallReport)
INITIATE_DOWNLOAD = TO_SERVER.row(
    "WL-B8-6",
    "Initiate Software Download",
    Service("backend", "start", others=("cancel",)),
    request={"start": messages.InitiateDownload, "cancel": messages.CancelDownload},
)
GET_PACKAGES = B8.row(
    "WL-B8-7",
    "Get All Packages",
    Service("vehicle", "getpackages"),
    note="extension: added by the authors later",
)

ACKNOWLEDGE = TO_SERVER.row("X-B8-1", "Acknowledgement", Service("backend", "ack"), request=messages.Acknowledgement)
REPORTED = TO_SERVER.row("X-B8-2", "Report received", Service("vehicle", "reported"), request=messages.Reported)
INSTALLED_SOFTWARE = B8.row(
    "X-B8-3", "Installed software", Service("backend", "packages"), request=messages.InstalledSoftware
)
CONNECTED = TO_SERVER.row(
    "X-B8-4", "Vehicle connected", Service("backend", "connected"), request=messages.VehicleConnected
)
STAGE = TO_SERVER.row(
    "X-B8-5", "Stage of an installation", Service("backend", "stage"), request=messages.InstallationStage
)
WELCOME = B8.row("X-B8-6", "A vehicle's epoch", Service("vehicle", "welcome"), request=messages.Welcome)

ROWS = declared(globals())
