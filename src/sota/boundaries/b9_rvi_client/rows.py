"""Rows of B9, the RVI Node Client and the SOTA Client: what B7 and B8 brought, handed over inside the vehicle."""

from __future__ import annotations

from sota.boundaries import services
from sota.boundaries.b7_core_rvi import identity_messages, messages, outcomes
from sota.boundaries.b7_core_rvi import rows as b7
from sota.boundaries.interaction import Boundary, Program, Rpc, Service, answers, declared, refuses

B9 = Boundary("B9", Program.RVI_NODE_CLIENT, Program.SOTA_CLIENT)
TO_NODE = Boundary("B9", Program.SOTA_CLIENT, Program.RVI_NODE_CLIENT)

UPDATE_AVAILABLE = B9.like("WL-B9-1", b7.UPDATE_AVAILABLE)
INITIATE_DOWNLOAD = TO_NODE.row(
    "WL-B9-2",
    "Initiate Software Download",
    Service("backend", "start", others=("cancel",)),
    request={"start": messages.InitiateDownload, "cancel": messages.CancelDownload},
)
START_DOWNLOAD = B9.like("WL-B9-3", b7.START_DOWNLOAD)
SEND_BLOCK = B9.like(
    "WL-B9-4",
    b7.SEND_BLOCK,
    outcomes.RECEIVED,
    outcomes.DUPLICATE,
)
FINISH_DOWNLOAD = B9.like("WL-B9-5", b7.FINISH_DOWNLOAD)
INSTALL_REPORT = TO_NODE.like("WL-B9-6", b7.INSTALL_REPORT, also=(outcomes.FAILURE_RECORDED,))
GET_PACKAGES = B9.like("WL-B9-7", b7.GET_PACKAGES)

ACKNOWLEDGE = TO_NODE.like("X-B9-1", b7.ACKNOWLEDGE, also=())
REPORTED = B9.like(
    "X-B9-2",
    b7.REPORTED,
    answers("received", "the client stops resending its report"),
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
MESSAGE = TO_NODE.like("X-B9-5", b7.MESSAGE)
AVAILABLE_SERVICES = TO_NODE.like("X-B9-6", b7.AVAILABLE_SERVICES)
NODE_PREFIX = TO_NODE.like(
    "X-B9-7",
    b7.NODE_PREFIX,
    answers("found", "the prefix that the node puts before names, with the VIN in it"),
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

INSTALLED_SOFTWARE = TO_NODE.like("X-B9-10", b7.INSTALLED_SOFTWARE)

CALLBACK = B9.like(
    "X-B9-11",
    b7.CALLBACK,
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

ROWS = declared(globals())
