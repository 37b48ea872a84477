"""Rows of B7, SOTA Core and the RVI Node Server: a download, its acknowledgements and its report; the node's edge.

Calls to the edge mean *queued*; outcomes come back in ``ack``, ``report`` and ``reported``
(docs/specification.md, ruling 12).
"""

from __future__ import annotations

from sota.boundaries import services
from sota.boundaries.b7_core_rvi import identity_messages, messages, outcomes
from sota.boundaries.interaction import Boundary, Http, Program, Rpc, Service, answers, behaves, declared, refuses

B7 = Boundary("B7", Program.SOTA_CORE, Program.RVI_NODE_SERVER)
TO_CORE = Boundary("B7", Program.RVI_NODE_SERVER, Program.SOTA_CORE)

SCHEDULE_UPDATE = B7.row(
    "WL-B7-1",
    "Software Update Metadata for VIN",
    Rpc(("schedule_update", "unschedule_update")),
    answers("scheduled", "the updates are scheduled: the VINs"),
    refuses("scheduling_failed", 412, "Task scheduling failed", "an update cannot be scheduled"),
    request={
        "schedule_update": list[messages.ScheduledUpdate],
        "unschedule_update": list[messages.UnscheduledUpdate],
    },
    response=services.EdgeResult,
)
UPDATE_AVAILABLE = B7.row(
    "WL-B7-2",
    "Software Update Available",
    Service("vehicle", "notify"),
    outcomes.COMPLETE,
    outcomes.RESUMED_X_TIMES,
    request=messages.UpdateAvailable,
)
INITIATE_DOWNLOAD = TO_CORE.row(
    "WL-B7-3",
    "Initiate Software Download",
    Service("backend", "start", others=("cancel",)),
    *outcomes.ENDINGS,
    also=(outcomes.CONFLICT, outcomes.OVER),
    request={"start": messages.InitiateDownload, "cancel": messages.CancelDownload},
)
START_DOWNLOAD = B7.row(
    "WL-B7-4",
    "Start Download",
    Service("vehicle", "start", others=("abort",)),
    *outcomes.ENDINGS,
    request={"start": messages.StartDownload, "abort": messages.AbortDownload},
)
SEND_BLOCK = B7.row(
    "WL-B7-5",
    "Lowest numbered data block",
    Service("vehicle", "chunk"),
    outcomes.RECEIVED,
    outcomes.DUPLICATE,
    behaves("resumed", "interrupted by a lost network, reconnection is tried X times and the block sent again"),
    request=messages.Block,
)
FINISH_DOWNLOAD = B7.row(
    "WL-B7-6",
    "Finalize Download",
    Service("vehicle", "finish"),
    outcomes.DOWNLOADED,
    outcomes.INCOMPLETE,
    outcomes.RESUMED,
    request=messages.FinishDownload,
)
INSTALL_REPORT = TO_CORE.row(
    "WL-B7-7",
    "Install Report",
    Service("backend", "report"),
    outcomes.INSTALLED,
    outcomes.ALREADY_COMPLETE,
    outcomes.ALREADY_FAILED,
    also=(outcomes.FAILURE_RECORDED, outcomes.CONFLICT),
    request=messages.InstallReport,
)
GET_PACKAGES = B7.row(
    "WL-B7-8",
    "Get All Packages",
    Service("vehicle", "getpackages"),
    answers("listed", "the vehicle tells what it has installed, through Core's service packages"),
    refuses("failed", 409, "Get All Packages failed", "the vehicle cannot tell"),
    note="extension: added by the authors later",
)

ACKNOWLEDGE = TO_CORE.row(
    "X-B7-1",
    "Acknowledgement",
    Service("backend", "ack"),
    answers("received", "the acknowledged blocks are not sent again, and committed soon"),
    also=(outcomes.CONFLICT,),
    request=messages.Acknowledgement,
)
REPORTED = B7.row(
    "X-B7-2",
    "Report received",
    Service("vehicle", "reported"),
    answers("received", "the vehicle stops resending its report"),
    request=messages.Reported,
)
REGISTER_SERVICE = B7.row(
    "X-B7-3",
    "Register a service of Core",
    Rpc(("register_service",)),
    answers("registered", "the service is announced to the vehicles"),
    request=services.RegisterService,
    response=services.EdgeResult,
)
UNREGISTER_SERVICE = B7.row(
    "X-B7-4",
    "Unregister a service of Core",
    Rpc(("unregister_service",)),
    answers("unregistered", "the service is announced no more"),
    request=services.UnregisterService,
    response=services.EdgeResult,
)
MESSAGE = B7.row(
    "X-B7-5",
    "Message to a service",
    Rpc(("message",)),
    answers("queued", "the message is queued or forwarded, no more"),
    request=services.SendMessage,
    response=services.EdgeResult,
)
AVAILABLE_SERVICES = B7.row(
    "X-B7-6",
    "Services known now",
    Rpc(("get_available_services",)),
    answers("listed", "local and remote names"),
    response=services.EdgeResult,
)
NODE_PREFIX = B7.row(
    "X-B7-7",
    "The node's prefix",
    Rpc(("get_node_service_prefix",)),
    answers("found", "the prefix that the node puts before names"),
    response=services.EdgeResult,
)
SERVICES_AVAILABLE = TO_CORE.row(
    "X-B7-8",
    "Services of a vehicle become available",
    Rpc(("services_available",)),
    answers("received", "Core knows that the vehicle is connected"),
    request=services.ServiceList,
)
SERVICES_UNAVAILABLE = TO_CORE.row(
    "X-B7-9",
    "Services of a vehicle become unavailable",
    Rpc(("services_unavailable",)),
    answers("received", "Core knows that the vehicle is gone"),
    request=services.ServiceList,
)

INSTALLED_SOFTWARE = TO_CORE.row(
    "X-B7-10",
    "Installed software",
    Service("backend", "packages"),
    answers("received", "Core knows what the vehicle has installed"),
    request=messages.InstalledSoftware,
)

CALLBACK = TO_CORE.row(
    "X-B7-11",
    "Callback",
    Http("POST", services.CALLBACK_PATH, secret_path=True, max_body=services.CALLBACK_LIMIT),
    answers(
        "answered",
        "the address that Core registered: every message to it arrives here, and has the answer of its own row",
    ),
)

CONNECTED = TO_CORE.row(
    "X-B7-12",
    "Vehicle connected",
    Service("backend", "connected"),
    answers("received", "what the vehicle's folder remembers is compared with what Core knows"),
    request=messages.VehicleConnected,
)
STAGE = TO_CORE.row(
    "X-B7-13",
    "Stage of an installation",
    Service("backend", "stage"),
    answers("received", "the update shows the stage while it lasts"),
    also=(outcomes.CONFLICT,),
    request=messages.InstallationStage,
)
WELCOME = B7.row(
    "X-B7-14",
    "A vehicle's epoch",
    Service("vehicle", "welcome"),
    answers("received", "the vehicle's folder remembers it"),
    request=messages.Welcome,
)

RENEW_IDENTITY = TO_CORE.row(
    "X-B7-30",
    "Renew a vehicle's identity",
    Service("backend", "renew"),
    answers("current", "there is nothing to change, or the vehicle hears what in its service identity"),
    answers("renewed", "another identity is issued, and sent through the vehicle's service identity"),
    also=(refuses("too_soon", 429, "Identity renewed recently", "the vehicle had another one a short while ago"),),
    request=identity_messages.RenewIdentity,
)
NEW_IDENTITY = B7.row(
    "X-B7-31",
    "A vehicle's new identity",
    Service("vehicle", "identity"),
    answers("received", "the vehicle takes it on, or asks for it"),
    request=identity_messages.NewIdentity,
)

ROWS = declared(globals())
