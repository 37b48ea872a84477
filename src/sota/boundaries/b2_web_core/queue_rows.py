"""Rows of B2, Web Server to SOTA Core: queues, the blacklist, and vehicles that go. All are extensions of ours."""

from __future__ import annotations

from sota.boundaries import audit
from sota.boundaries.audit import AuditQuery
from sota.boundaries.b2_web_core import messages
from sota.boundaries.b2_web_core.queries import BlacklistQuery, RetireQuery
from sota.boundaries.interaction import Boundary, Http, Program, answers, declared
from sota.boundaries.ordinary import AUTHENTICATION_FAILED, NOT_FOUND
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import MessageOnly

B2 = Boundary("B2", Program.WEB_SERVER, Program.SOTA_CORE, also=(AUTHENTICATION_FAILED,))

CANCEL = B2.row(
    "X-B2-10",
    "Cancel an install request",
    Http("POST", "/api/v1/install-requests/{id}/cancel"),
    answers("cancelled", "what waited is cancelled; what is under way goes on"),
    also=(NOT_FOUND,),
    response=messages.RequestChanged,
)

STOP = B2.row(
    "X-B2-11",
    "Stop an install request",
    Http("POST", "/api/v1/install-requests/{id}/stop"),
    answers("stopped", "what waited is cancelled, and what was under way is aborted"),
    also=(NOT_FOUND,),
    response=messages.RequestChanged,
)

RETRY = B2.row(
    "X-B2-12",
    "Retry what failed of an install request",
    Http("POST", "/api/v1/install-requests/{id}/retry-failed"),
    answers("retried", "failed and cancelled updates whose interval still runs are tried again, in the same request"),
    also=(NOT_FOUND,),
    response=messages.RequestChanged,
)

QUEUE = B2.row(
    "X-B2-13",
    "A vehicle's queue",
    Http("GET", "/api/v1/vehicles/{vin}/queue", query=ListQuery),
    answers("listed", "what the vehicle will get, in its order: first what is under way"),
    answers("empty", "nothing waits for it: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Update],
)

ORDER = B2.row(
    "X-B2-14",
    "The order of a vehicle's queue",
    Http("PUT", "/api/v1/vehicles/{vin}/queue/order"),
    answers("ordered", "the queue as it is now; the list must name every pending update once"),
    also=(NOT_FOUND,),
    request=messages.QueueOrder,
    response=list[messages.Update],
)

HISTORY = B2.row(
    "X-B2-15",
    "A vehicle's history",
    Http("GET", "/api/v1/vehicles/{vin}/history", query=ListQuery),
    answers("listed", "its updates that are over, with results, reasons and times, the latest first"),
    answers("empty", "none is over: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Update],
)

SYNC = B2.row(
    "X-B2-16",
    "Get All Packages",
    Http("POST", "/api/v1/vehicles/{vin}/sync"),
    answers("asked", "the question is queued; the vehicle's answer changes its packages", status=202),
    also=(NOT_FOUND,),
)

BLACKLIST = B2.row(
    "X-B2-17",
    "Blacklist a package",
    Http("PUT", "/api/v1/packages/{name}/{version}/blacklist", query=BlacklistQuery),
    answers("blacklisted", "nothing is queued with it any more, and what waited is cancelled", "Package blacklisted"),
    also=(NOT_FOUND,),
    request=messages.Blacklisting,
    response=messages.Blacklisted,
)

ALLOW = B2.row(
    "X-B2-18",
    "Take a package off the blacklist",
    Http("DELETE", "/api/v1/packages/{name}/{version}/blacklist"),
    answers("allowed", "it may be queued again, and is not on the blacklist", "Package no longer blacklisted"),
    also=(NOT_FOUND,),
    response=MessageOnly,
)

PREVIEW = B2.row(
    "X-B2-19",
    "What blacklisting a package would touch",
    Http("GET", "/api/v1/packages/{name}/{version}/blacklist/preview"),
    answers("found", "how many updates and vehicles it touches"),
    also=(NOT_FOUND,),
    response=messages.BlacklistPreview,
)

RETIRE = B2.row(
    "X-B2-20",
    "Retire a vehicle",
    Http("DELETE", "/api/v1/vehicles/{vin}", query=RetireQuery, keyed=True),
    answers("retired", "nothing more is sent to it, no filter finds it, and its history is kept", "Vehicle retired"),
    also=(NOT_FOUND,),
    response=MessageOnly,
)

ERASE = B2.row(
    "X-B2-21",
    "Erase a vehicle",
    Http("DELETE", "/api/v1/vehicles/{vin}", query=RetireQuery, selected_by="erase", keyed=True),
    answers("erased", "it is retired, and its history kept under a pseudonym that cannot be undone", "Vehicle erased"),
    also=(NOT_FOUND,),
    response=MessageOnly,
)

AUDIT = B2.row(
    "X-B2-46",
    "The audit trail of SOTA Core",
    Http("GET", "/api/v1/audit", query=AuditQuery),
    answers("listed", "the records that are asked for, newest first"),
    answers("empty", "there is no such record: an empty list"),
    response=list[audit.AuditRecord],
)

VERIFY_AUDIT = B2.row(
    "X-B2-47",
    "Check the audit trail of SOTA Core",
    Http("GET", "/api/v1/audit/verify"),
    answers("checked", "whether the chain holds, and where it is broken"),
    response=audit.AuditVerdict,
)

RESOLVER_FOLLOWS = B2.row(
    "X-B2-48",
    "Wait for the Resolver",
    Http("GET", "/api/v1/resolver/followed"),
    answers(
        "followed", "the Resolver knows all that Core had acknowledged when the call came; 503 if it does not soon"
    ),
)

ROWS = declared(globals())
