"""Rows of B2, Web Server to SOTA Core: identities of vehicles. All are extensions of ours."""

from __future__ import annotations

from sota.boundaries.b2_web_core import identity_messages as messages
from sota.boundaries.b2_web_core.queue_rows import B2
from sota.boundaries.interaction import Http, answers, declared, refuses
from sota.boundaries.ordinary import NOT_FOUND
from sota.boundaries.parameters import ListQuery

IDENTITY_EXISTS = refuses(
    "identity_exists", 409, "Vehicle has an identity", "it has one that is valid, and is not to be replaced"
)
NO_AUTHORITY = refuses(
    "no_authority", 409, "No authority here", "this Core has no authority that could issue identities"
)

ENROL = B2.row(
    "X-B2-30",
    "Enrol a vehicle",
    Http("POST", "/api/v1/vehicles/{vin}/identities"),
    answers("enrolled", "the vehicle has an identity", "Vehicle enrolled"),
    also=(
        NOT_FOUND,
        IDENTITY_EXISTS,
        NO_AUTHORITY,
    ),
    request=messages.NewEnrolment,
    response=messages.Enrolled,
)

IDENTITIES = B2.row(
    "X-B2-31",
    "Identities of a vehicle",
    Http("GET", "/api/v1/vehicles/{vin}/identities", query=ListQuery),
    answers("listed", "the identities that were issued to it, the latest first, those that count no more included"),
    answers("empty", "none was issued: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Identity],
)

NEW_CODE = B2.row(
    "X-B2-32",
    "Make an enrolment code",
    Http("POST", "/api/v1/vehicles/{vin}/enrolment-codes"),
    answers(
        "created", "the code, shown once; one that the vehicle had and did not use is worth nothing", "Code created"
    ),
    also=(
        NOT_FOUND,
        NO_AUTHORITY,
    ),
    request=messages.NewCode,
    response=messages.EnrolmentCode,
)

ENROL_BY_CODE = B2.row(
    "X-B2-33",
    "Enrol with a one-time code",
    Http("POST", "/api/v1/enrolments"),
    answers("enrolled", "the vehicle has an identity for its own key, and no other counts", "Vehicle enrolled"),
    refuses("code_refused", 403, "Enrolment refused", "the code is wrong, used or expired, or is another vehicle's"),
    also=(NO_AUTHORITY,),
    request=messages.CodeEnrolment,
    response=messages.Enrolled,
)

REVOKE = B2.row(
    "X-B2-34",
    "Revoke a vehicle's identities",
    Http("POST", "/api/v1/vehicles/{vin}/identities/revoke"),
    answers("revoked", "they count no more: the node ends their connections", "Identities revoked"),
    also=(NOT_FOUND,),
    request=messages.Revocation,
    response=messages.Revoked,
)

REVOCATIONS = B2.row(
    "X-B2-35",
    "The revocation list",
    Http("GET", "/api/v1/revocations", query=ListQuery),
    answers("listed", "what counts no more, though it has not expired"),
    answers("empty", "nothing is revoked: an empty list"),
    response=list[messages.RevokedEntry],
)

AUTHORITY = B2.row(
    "X-B2-36",
    "The authority",
    Http("GET", "/api/v1/authority"),
    answers("found", "the trust anchors, and how many identities each has signed"),
    also=(NO_AUTHORITY,),
    response=messages.AuthorityState,
)

ROWS = declared(globals())
