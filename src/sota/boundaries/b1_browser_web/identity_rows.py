"""Rows of B1, Web Browser to Web Server: identities of vehicles. All are extensions of ours."""

from __future__ import annotations

from sota.boundaries.b1_browser_web.page_rows import B1
from sota.boundaries.b2_web_core import identity_messages as messages
from sota.boundaries.b2_web_core.identity_rows import IDENTITY_EXISTS, NO_AUTHORITY
from sota.boundaries.interaction import Http, Role, answers, refuses
from sota.boundaries.ordinary import NOT_FOUND

PAGE = ("limit", "cursor")

ENROL = B1.extension(
    80,
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
    role=Role.ADMIN,
)

IDENTITIES = B1.extension(
    81,
    "Identities of a vehicle",
    Http("GET", "/api/v1/vehicles/{vin}/identities", query=PAGE),
    answers("listed", "the identities that were issued to it, the latest first, those that count no more included"),
    answers("empty", "none was issued: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.Identity],
    role=Role.VIEWER,
)

NEW_CODE = B1.extension(
    82,
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
    role=Role.ADMIN,
)

ENROL_BY_CODE = B1.extension(
    83,
    "Enrol with a one-time code",
    Http("POST", "/api/v1/enrolments"),
    answers("enrolled", "the vehicle has an identity for its own key, and no other counts", "Vehicle enrolled"),
    refuses("code_refused", 403, "Enrolment refused", "the code is wrong, used or expired, or is another vehicle's"),
    also=(NO_AUTHORITY,),
    request=messages.CodeEnrolment,
    response=messages.Enrolled,
    role=Role.PUBLIC,
)

REVOKE = B1.extension(
    84,
    "Revoke a vehicle's identities",
    Http("POST", "/api/v1/vehicles/{vin}/identities/revoke"),
    answers("revoked", "they count no more: the node ends their connections", "Identities revoked"),
    also=(NOT_FOUND,),
    request=messages.Revocation,
    response=messages.Revoked,
    role=Role.ADMIN,
)

REVOCATIONS = B1.extension(
    85,
    "The revocation list",
    Http("GET", "/api/v1/revocations", query=PAGE),
    answers("listed", "what counts no more, though it has not expired"),
    answers("empty", "nothing is revoked: an empty list"),
    response=list[messages.RevokedEntry],
    role=Role.VIEWER,
)

AUTHORITY = B1.extension(
    86,
    "The authority",
    Http("GET", "/api/v1/authority"),
    answers("found", "the trust anchors, and how many identities each has signed"),
    also=(NO_AUTHORITY,),
    response=messages.AuthorityState,
    role=Role.VIEWER,
)

ROWS = (ENROL, IDENTITIES, NEW_CODE, ENROL_BY_CODE, REVOKE, REVOCATIONS, AUTHORITY)
