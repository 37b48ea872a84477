"""Ordinary refusals: what any HTTP row may answer where the whitelist is silent (docs/specification.md, ruling 2).

They are no outcomes of rows and are not counted among them. ``code`` is that of the error in ``kit/errors.py`` which
the edge turns into the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from sota.boundaries.interaction import answers, refuses


@dataclass(frozen=True, slots=True)
class Refusal:
    """One ordinary refusal: its stable code, status, title, and when it is given."""

    code: str
    status: int
    title: str
    when: str


REFUSALS = (
    Refusal("invalid", 400, "Bad Request", "the body or a value is malformed or out of its range"),
    Refusal("unauthenticated", 401, "Unauthorized", "no session or token, on B1 and B10"),
    Refusal("forbidden", 403, "Forbidden", "the caller's role does not allow it, or the CSRF token is missing"),
    Refusal(
        "password_change_due", 403, "Forbidden", "the password was generated: it must be changed before anything else"
    ),
    Refusal("not_found", 404, "Not Found", "no such path, or no such object on a row of ours"),
    Refusal("method_not_allowed", 405, "Method Not Allowed", "the path exists, the method does not"),
    Refusal("timeout", 408, "Request Timeout", "the body did not arrive in time"),
    Refusal("too_large", 413, "Content Too Large", "the body is over the row's limit"),
    Refusal("url_too_long", 414, "URI Too Long", "path and query are longer than 8192 bytes"),
    Refusal("unsupported_media_type", 415, "Unsupported Media Type", "the row takes another content type"),
    Refusal("idempotency_key_reused", 422, "Unprocessable Content", "the Idempotency-Key was used for another request"),
    Refusal("too_many", 429, "Too Many Requests", "too many attempts: Retry-After says when"),
    Refusal("unavailable", 503, "Service Unavailable", "a neighbour or a store is away for now: Retry-After says when"),
)

AUTHENTICATION_FAILED = refuses(
    "unauthenticated", 404, "Authentication Failed", "the calling program's credential is missing or wrong"
)
"""What every row behind the Web Server answers to a missing or wrong service credential
(docs/specification.md, ruling 10)."""

INSERTED = answers("inserted", "a new entry is made", "Row Inserted")

NOT_FOUND = refuses("not_found", 404, "Not Found", "there is no such object")
"""What a row of ours answers to an unknown id; the whitelist's own rows say 409."""

FILTER_INVALID = refuses("filter_invalid", 406, "Filter failed validation", "the filter's expression fails validation")
NO_FILTERS = refuses("filters_missing", 404, "No filters associated with package", "the package has no filters")
PACKAGE_MISSING = refuses("package_missing", 404, "Package ID does not exist", "the package is not registered")
PACKAGE_EXISTS = refuses("package_exists", 409, "Package already exists", "the package is registered already")
PACKAGE_IN_USE = refuses(
    "package_in_use",
    409,
    "Package is in use",
    "an unfinished update needs the package, or a vehicle is known to have it",
)

PACKAGE_BLACKLISTED = refuses(
    "package_blacklisted", 409, "Package is blacklisted", "the package is blacklisted: it goes to no vehicle"
)

TARGET_WIDENS = refuses(
    "target_widens",
    409,
    "Target would be widened",
    "without the filter the package would go to more vehicles: the detail has their number, widen=true does it",
)

RESOLUTION_EXISTS = refuses(
    "resolution_exists", 409, "Resolution already exists", "the resolution's id stands for another package"
)
