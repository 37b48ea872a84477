"""Rows of B1, Web Browser to Web Server: queues, the blacklist, and vehicles that go. All are extensions of ours."""

from __future__ import annotations

from sota.boundaries.b1_browser_web import messages
from sota.boundaries.b1_browser_web.page_rows import B1
from sota.boundaries.interaction import Http, Role, answers, refuses
from sota.boundaries.ordinary import NOT_FOUND
from sota.boundaries.values import Said

PAGED = ("limit", "cursor")
VIN_BUSY = refuses("vin_busy", 409, "VIN is being changed", "another change of this VIN is under way")

CANCEL = B1.extension(
    12,
    "Cancel an install request",
    Http("POST", "/api/v1/install-requests/{id}/cancel"),
    answers("cancelled", "what waited is cancelled; what is under way goes on"),
    also=(NOT_FOUND,),
    response=messages.RequestChanged,
    role=Role.OPERATOR,
)

STOP = B1.extension(
    13,
    "Stop an install request",
    Http("POST", "/api/v1/install-requests/{id}/stop"),
    answers("stopped", "what waited is cancelled, and what was under way is aborted"),
    also=(NOT_FOUND,),
    response=messages.RequestChanged,
    role=Role.OPERATOR,
)

RETRY = B1.extension(
    14,
    "Retry what failed of an install request",
    Http("POST", "/api/v1/install-requests/{id}/retry-failed"),
    answers("retried", "failed and cancelled updates whose interval still runs are tried again, in the same request"),
    also=(NOT_FOUND,),
    response=messages.RequestChanged,
    role=Role.OPERATOR,
)

QUEUE = B1.extension(
    15,
    "The queue of a vehicle",
    Http("GET", "/api/v1/vehicles/{vin}/queue", query=PAGED),
    answers("listed", "what the vehicle will get, in its order: first what is under way"),
    answers("empty", "nothing waits for it: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Update],
    role=Role.VIEWER,
)

ORDER = B1.extension(
    16,
    "The order of a vehicle's queue",
    Http("PUT", "/api/v1/vehicles/{vin}/queue/order"),
    answers("ordered", "the queue as it is now; the list must name every pending update once"),
    also=(NOT_FOUND,),
    request=messages.QueueOrder,
    response=list[messages.Update],
    role=Role.OPERATOR,
)

HISTORY = B1.extension(
    17,
    "The history of a vehicle",
    Http("GET", "/api/v1/vehicles/{vin}/history", query=PAGED),
    answers("listed", "its updates that are over, with results, reasons and times, the latest first"),
    answers("empty", "none is over: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Update],
    role=Role.VIEWER,
)

SYNC = B1.extension(
    18,
    "Get All Packages of a vehicle",
    Http("POST", "/api/v1/vehicles/{vin}/sync"),
    answers("asked", "the question is queued; the vehicle's answer changes its packages", status=202),
    also=(NOT_FOUND,),
    role=Role.OPERATOR,
)

BLACKLIST = B1.extension(
    19,
    "Blacklist a package",
    Http("PUT", "/api/v1/packages/{name}/{version}/blacklist", query=("stop",)),
    answers("blacklisted", "nothing is queued with it any more, and what waited is cancelled", "Package blacklisted"),
    also=(NOT_FOUND,),
    request=messages.Blacklisting,
    response=messages.Blacklisted,
    role=Role.ADMIN,
)

ALLOW = B1.extension(
    20,
    "Take a package off the blacklist",
    Http("DELETE", "/api/v1/packages/{name}/{version}/blacklist"),
    answers("allowed", "it may be queued again, and is not on the blacklist", "Package no longer blacklisted"),
    also=(NOT_FOUND,),
    response=Said,
    role=Role.ADMIN,
)

PREVIEW = B1.extension(
    21,
    "What blacklisting a package would touch",
    Http("GET", "/api/v1/packages/{name}/{version}/blacklist/preview"),
    answers("found", "how many updates and vehicles it touches"),
    also=(NOT_FOUND,),
    response=messages.BlacklistPreview,
    role=Role.VIEWER,
)

RETIRE = B1.extension(
    22,
    "Retire a vehicle",
    Http("DELETE", "/api/v1/vehicles/{vin}"),
    answers("retired", "nothing more is sent to it, no filter finds it, and its history is kept", "Vehicle retired"),
    also=(NOT_FOUND, VIN_BUSY),
    response=Said,
    role=Role.OPERATOR,
)

ERASE = B1.extension(
    23,
    "Erase a vehicle",
    Http("DELETE", "/api/v1/vehicles/{vin}", query=("erase",), selected_by="erase"),
    answers("erased", "it is retired, and its history kept under a pseudonym that nobody can undo", "Vehicle erased"),
    also=(NOT_FOUND, VIN_BUSY),
    response=Said,
    role=Role.ADMIN,
)

ROWS = (CANCEL, STOP, RETRY, QUEUE, ORDER, HISTORY, SYNC, BLACKLIST, ALLOW, PREVIEW, RETIRE, ERASE)
