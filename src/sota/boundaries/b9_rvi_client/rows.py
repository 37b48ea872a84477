"""Rows of B9, the RVI Node Client and the SOTA Client: what B7 and B8 brought, handed over inside the vehicle."""

from __future__ import annotations

from sota.boundaries.b7_core_rvi import identity_messages, outcomes
from sota.boundaries.b7_core_rvi import rows as b7
from sota.boundaries.interaction import Boundary, Program, Service, answers, declared, refuses

B9 = Boundary("B9", Program.RVI_NODE_CLIENT, Program.SOTA_CLIENT)
TO_NODE = Boundary("B9", Program.SOTA_CLIENT, Program.RVI_NODE_CLIENT)

UPDATE_AVAILABLE = B9.like("WL-B9-1", b7.UPDATE_AVAILABLE)
INITIATE_DOWNLOAD = TO_NODE.carries("WL-B9-2", b7.INITIATE_DOWNLOAD)
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
REGISTER_SERVICE = TO_NODE.like(
    "X-B9-3",
    b7.REGISTER_SERVICE,
    answers("registered", "the service is announced to the backend"),
    title="Register a service of the vehicle",
)
UNREGISTER_SERVICE = TO_NODE.like("X-B9-4", b7.UNREGISTER_SERVICE, title="Unregister a service of the vehicle")
MESSAGE = TO_NODE.like("X-B9-5", b7.MESSAGE)
AVAILABLE_SERVICES = TO_NODE.like("X-B9-6", b7.AVAILABLE_SERVICES)
NODE_PREFIX = TO_NODE.like(
    "X-B9-7",
    b7.NODE_PREFIX,
    answers("found", "the prefix that the node puts before names, with the VIN in it"),
)
SERVICES_AVAILABLE = B9.like(
    "X-B9-8",
    b7.SERVICES_AVAILABLE,
    answers("received", "the client knows that Core can be reached"),
    title="Services of the backend become available",
)
SERVICES_UNAVAILABLE = B9.like(
    "X-B9-9",
    b7.SERVICES_UNAVAILABLE,
    answers("received", "the client knows that Core cannot be reached"),
    title="Services of the backend become unavailable",
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

CONNECTED = TO_NODE.carries("X-B9-12", b7.CONNECTED)
STAGE = TO_NODE.carries("X-B9-13", b7.STAGE)
WELCOME = B9.like("X-B9-14", b7.WELCOME, answers("received", "it is remembered"), title="The vehicle's epoch")

RENEW_IDENTITY = TO_NODE.row(
    "X-B9-30",
    "Renew the vehicle's identity",
    Service("backend", "renew"),
    request=identity_messages.RenewIdentity,
)
NEW_IDENTITY = B9.like(
    "X-B9-31",
    b7.NEW_IDENTITY,
    answers("received", "it is taken on, or asked for"),
    title="The vehicle's new identity",
    also=(refuses("invalid", 400, "Bad Request", "it is not for this vehicle: the one that it has stays"),),
)

ROWS = declared(globals())
