"""Rows of B3 about what is decided for whom: dependencies, explanations, previews, recorded resolutions."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver import resolution_messages as messages
from sota.boundaries.b3_web_resolver.fleet_rows import B3
from sota.boundaries.b3_web_resolver.messages import Resolved
from sota.boundaries.b3_web_resolver.queries import DependencyQuery, DifferenceQuery, DropQuery
from sota.boundaries.interaction import Http, answers, declared
from sota.boundaries.ordinary import FILTER_INVALID, NO_FILTERS, NOT_FOUND, PACKAGE_MISSING
from sota.boundaries.parameters import ListQuery

DEPENDENCIES = B3.row(
    "X-B3-14",
    "The dependencies of a package",
    Http("GET", "/api/v1/packages/{name}/{version}/dependencies", query=DependencyQuery),
    answers("listed", "what it needs; with recursive=true the edges of all that it may bring with it too"),
    answers("empty", "it needs nothing: an empty list"),
    also=(PACKAGE_MISSING,),
    response=list[messages.Dependency],
)
DECLARE_DEPENDENCIES = B3.row(
    "X-B3-15",
    "Declare the dependencies of a package",
    Http("PUT", "/api/v1/packages/{name}/{version}/dependencies"),
    answers("declared", "it needs exactly these; more than a hundred, one twice, or a cycle is refused"),
    also=(PACKAGE_MISSING,),
    request=messages.Dependencies,
    response=list[messages.Dependency],
)
DROP_DEPENDENCIES = B3.row(
    "X-B3-16",
    "Delete dependencies of a package",
    Http("DELETE", "/api/v1/packages/{name}/{version}/dependencies", query=DropQuery),
    answers("dropped", "what it still needs; all went where needs named none"),
    also=(PACKAGE_MISSING, NOT_FOUND),
    response=list[messages.Dependency],
)
EXPLAIN = B3.row(
    "X-B3-17",
    "Explain a decision",
    Http("POST", "/api/v1/resolve/explain", read_only=True),
    answers("explained", "why the vehicle gets the package or not, clause by clause"),
    also=(NOT_FOUND, PACKAGE_MISSING, NO_FILTERS, FILTER_INVALID),
    request=messages.ExplainRequest,
    response=messages.Explanation,
)
PREVIEW = B3.row(
    "X-B3-18",
    "Preview a filter",
    Http("POST", "/api/v1/filters/preview", read_only=True),
    answers("previewed", "how many vehicles it is true for, and some of them; or where its mistake is"),
    request=messages.TypedExpression,
    response=messages.Preview,
)
VALIDATE = B3.row(
    "X-B3-19",
    "Validate a filter",
    Http("POST", "/api/v1/filters/validate", read_only=True),
    answers("validated", "whether it can be evaluated, and where its mistake is"),
    request=messages.TypedExpression,
    response=messages.Validation,
)
FORMAT = B3.row(
    "X-B3-20",
    "Format a filter",
    Http("POST", "/api/v1/filters/format", read_only=True),
    answers("formatted", "the same with tidy spaces and lines, or where its mistake is"),
    request=messages.TypedExpression,
    response=messages.Formatted,
)
PREVIEW_PACKAGE = B3.row(
    "X-B3-21",
    "Preview a package",
    Http("GET", "/api/v1/packages/{name}/{version}/preview"),
    answers("previewed", "how many vehicles would get it, with what else, and how many are left out and why"),
    also=(PACKAGE_MISSING, NO_FILTERS),
    response=messages.PackagePreview,
)
RESOLUTION = B3.row(
    "X-B3-22",
    "A recorded resolution",
    Http("GET", "/api/v1/resolutions/{id}"),
    answers("found", "what was decided, when, and by what"),
    also=(NOT_FOUND,),
    response=messages.Resolution,
)
CHOSEN = B3.row(
    "X-B3-23",
    "The vehicles of a recorded resolution",
    Http("GET", "/api/v1/resolutions/{id}/vehicles", query=ListQuery),
    answers("listed", "the chosen vehicles by VIN, each with what it was to get"),
    answers("empty", "none was chosen: an empty list"),
    also=(NOT_FOUND,),
    response=list[Resolved],
)
LEFT_OUT = B3.row(
    "X-B3-24",
    "The vehicles that a recorded resolution left out",
    Http("GET", "/api/v1/resolutions/{id}/left-out", query=ListQuery),
    answers("listed", "the vehicles by VIN that passed all filters and were left out, each with the reason"),
    answers("empty", "none was left out: an empty list"),
    also=(NOT_FOUND,),
    response=list[messages.LeftOutVehicle],
)
DIFFERENCE = B3.row(
    "X-B3-25",
    "The difference between two recorded resolutions",
    Http("GET", "/api/v1/resolutions/{id}/difference", query=DifferenceQuery),
    answers("listed", "the vehicles by VIN for which they decided otherwise; a page may be short and have a next one"),
    answers("empty", "none is among those looked at: an empty list, which may have a next page"),
    also=(NOT_FOUND,),
    response=list[messages.Difference],
)

ROWS = declared(globals())
