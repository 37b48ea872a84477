"""Rows of B9, the RVI Node Client and the SOTA Client: what B7 and B8 brought, handed over inside the vehicle."""

from __future__ import annotations

from sota.boundaries import services
from sota.boundaries.b7_core_rvi import identity_messages, outcomes
from sota.boundaries.b9_rvi_client import messages
from sota.boundaries.interaction import Boundary, Http, Program, Rpc, Service, answers, refuses

B9 = Boundary("B9", Program.RVI_NODE_CLIENT, Program.SOTA_CLIENT)
TO_NODE = Boundary("B9", Program.SOTA_CLIENT, Program.RVI_NODE_CLIENT)

UPDATE_AVAILABLE = B9.row(
    "WL-B9-1",
    "Software Update Available",
    Service("vehicle", "notify"),
    outcomes.COMPLETE,
    outcomes.RESUMED_X_TIMES,
    request=messages.UpdateAvailable,
)
INITIATE_DOWNLOAD = TO_NODE.row(
    "WL-B9-2",
    "Initiate Software Download",
    Service("backend", "start", others=("cancel",)),
    request={"start": messages.InitiateDownload, "cancel": messages.CancelDownload},
)
START_DOWNLOAD = B9.row(
    "WL-B9-3",
    "Start Download",
    Service("vehicle", "start", others=("abort",)),
    outcomes.COMPLETE,
    outcomes.RESUMED,
    outcomes.CANCELLED,
    request={"start": messages.StartDownload, "abort": messages.AbortDownload},
)
SEND_BLOCK = B9.row(
    "WL-B9-4",
    "Lowest numbered data block",
    Service("vehicle", "chunk"),
    outcomes.RECEIVED,
    outcomes.DUPLICATE,
    request=messages.Block,
)
FINISH_DOWNLOAD = B9.row(
    "WL-B9-5",
    "Finalize Download",
    Service("vehicle", "finish"),
    outcomes.DOWNLOADED,
    outcomes.INCOMPLETE,
    outcomes.RESUMED,
    request=messages.FinishDownload,
)
INSTALL_REPORT = TO_NODE.row(
    "WL-B9-6",
    "Install Report",
    Service("backend", "report"),
    outcomes.INSTALLED,
    outcomes.ALREADY_COMPLETE,
    outcomes.ALREADY_FAILED,
    also=(outcomes.FAILURE_RECORDED,),
    request=messages.InstallReport,
)
GET_PACKAGES = B9.row(
    "WL-B9-7",
    "Get All Packages",
    Service("vehicle", "getpackages"),
    answers("listed", "the vehicle tells what it has installed, through Core's service packages"),
    refuses("failed", 409, "Get All Packages failed", "the vehicle cannot tell"),
    note="extension: added by the authors later",
)

ACKNOWLEDGE = TO_NODE.row(
    "X-B9-1",
    "Acknowledgement",
    Service("backend", "ack"),
    answers("received", "the acknowledged blocks are not sent again, and committed soon"),
    request=messages.Acknowledgement,
)
REPORTED = B9.row(
    "X-B9-2",
    "Report received",
    Service("vehicle", "reported"),
    answers("received", "the client stops resending its report"),
    request=messages.Reported,
)
REGISTER_SERVICE = TO_NODE.row(
    "X-B9-3",
    "Register a service of the vehicle",
    Rpc(("register_service",)),
    answers("registered", "the service is announced to the backend"),
    request=services.RegisterService,
    response=services.EdgeResult,
)
UNREGISTER_SERVICE = TO_NODE.row(
    "X-B9-4",
    "Unregister a service of the vehicle",
    Rpc(("unregister_service",)),
    answers("unregistered", "the service is announced no more"),
    request=services.UnregisterService,
    response=services.EdgeResult,
)
MESSAGE = TO_NODE.row(
    "X-B9-5",
    "Message to a service",
    Rpc(("message",)),
    answers("queued", "the message is queued or forwarded, no more"),
    request=services.SendMessage,
    response=services.EdgeResult,
)
AVAILABLE_SERVICES = TO_NODE.row(
    "X-B9-6",
    "Services known now",
    Rpc(("get_available_services",)),
    answers("listed", "local and remote names"),
    response=services.EdgeResult,
)
NODE_PREFIX = TO_NODE.row(
    "X-B9-7",
    "The node's prefix",
    Rpc(("get_node_service_prefix",)),
    answers("found", "the prefix that the node puts before names, with the VIN in it"),
    response=services.EdgeResult,
)
SERVICES_AVAILABLE = B9.row(
    "X-B9-8",
    "Services of the backend become available",
    Rpc(("services_available",)),
    answers("received", "the client knows that Core can be reached"),
    request=services.ServiceList,
)
SERVICES_UNAVAILABLE = B9.row(
    "X-B9-9",
    "Services of the backend become unavailable",
    Rpc(("services_unavailable",)),
    answers("received", "the client knows that Core cannot be reached"),
    request=services.ServiceList,
)

INSTALLED_SOFTWARE = TO_NODE.row(
    "X-B9-10",
    "Installed software",
    Service("backend", "packages"),
    answers("received", "Core knows what the vehicle has installed"),
    request=messages.InstalledSoftware,
)

CALLBACK = B9.row(
    "X-B9-11",
    "Callback",
    Http("POST", services.CALLBACK_PATH, secret_path=True, max_body=services.CALLBACK_LIMIT),
    answers(
        "answered",
        "the address that the client registered: every message to it arrives here, and has the answer of its own row",
    ),
)

CONNECTED = TO_NODE.row(
    "X-B9-12",
    "Vehicle connected",
    Service("backend", "connected"),
    request=messages.VehicleConnected,
)
STAGE = TO_NODE.row(
    "X-B9-13",
    "Stage of an installation",
    Service("backend", "stage"),
    request=messages.InstallationStage,
)
WELCOME = B9.row(
    "X-B9-14",
    "The vehicle's epoch",
    Service("vehicle", "welcome"),
    answers("received", "it is remembered"),
    request=messages.Welcome,
)

RENEW_IDENTITY = TO_NODE.row(
    "X-B9-30",
    "Renew the vehicle's identity",
    Service("backend", "renew"),
    request=identity_messages.RenewIdentity,
)
NEW_IDENTITY = B9.row(
    "X-B9-31",
    "The vehicle's new identity",
    Service("vehicle", "identity"),
    answers("received", "it is taken on, or asked for"),
    also=(refuses("invalid", 400, "Bad Request", "it is not for this vehicle: the one that it has stays"),),
    request=identity_messages.NewIdentity,
)

ROWS = (
    RENEW_IDENTITY,
    NEW_IDENTITY,
    UPDATE_AVAILABLE,
    INITIATE_DOWNLOAD,
    START_DOWNLOAD,
    SEND_BLOCK,
    FINISH_DOWNLOAD,
    INSTALL_REPORT,
    GET_PACKAGES,
    ACKNOWLEDGE,
    REPORTED,
    REGISTER_SERVICE,
    UNREGISTER_SERVICE,
    MESSAGE,
    AVAILABLE_SERVICES,
    NODE_PREFIX,
    SERVICES_AVAILABLE,
    SERVICES_UNAVAILABLE,
    INSTALLED_SOFTWARE,
    CALLBACK,
    CONNECTED,
    STAGE,
    WELCOME,
)
