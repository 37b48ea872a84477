"""The API document: OpenAPI 3.1 of one program, made from the table and nothing else.

Rules kept here:

* every HTTP row of the program's documented boundaries stands in it, with each of its outcomes: status, literal message
  as an example, the code of its error body; rows that share a method and path are one operation;
* what any row may answer beside its own outcomes (``ordinary.py``) stands where it can occur, and only there;
* an operation has a stable name, written down in ``operations.py``: generated clients keep their methods' names.

>>> from sota.boundaries.openapi import DOCUMENTED, document
>>> document(DOCUMENTED["web"])["paths"]["/api/v1/vehicles"]["post"]["operationId"]
'register_vehicle'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sota import __version__
from sota.boundaries.interaction import Http, Interaction, Program, Role, by_route
from sota.boundaries.openapi.answers import answers_of, ordinary_responses
from sota.boundaries.openapi.bodies import request_body
from sota.boundaries.openapi.errors import codes_of
from sota.boundaries.openapi.operations import OPERATIONS
from sota.boundaries.openapi.parameters import parameters_of
from sota.boundaries.openapi.schemas import Json, Schemas, problem_schema
from sota.boundaries.table import TABLE

DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMMON = """\
Every path, method and answer here is a row of the whitelist; a request that is no row is refused: 404
`not_found`, or 405 `method_not_allowed` where the path has other methods.

* **Lists** are arrays, paged with `limit` (100 where none is given, at most 1000) and `cursor`. A page that has a next
  one says where in `Link: <...>; rel="next"`.
* **Errors** are problem details (RFC 9457). `code` is stable: compare that. `title` is the literal message of the row,
  `interaction` its id.
* **Times** are RFC 3339 with a time zone. Ids are UUIDv7.
"""


BY_CREDENTIAL = (
    "The calling program sends its own credential as `Authorization: Bearer CREDENTIAL`. "
    "A missing or wrong one is answered 404 'Authentication Failed'."
)


@dataclass(frozen=True, slots=True)
class Documented:
    """A program that has a document, and the boundaries in it."""

    program: Program
    boundaries: tuple[str, ...]
    who: str


DOCUMENTED: Mapping[str, Documented] = {
    "web": Documented(
        Program.WEB_SERVER,
        ("B1",),
        "Programs send `Authorization: Bearer TOKEN`. A browser has a session cookie, and sends the session's CSRF "
        "token in `X-CSRF-Token` with whatever changes something. `x-role` names the least role that may make a "
        "call: viewer, operator, admin.",
    ),
    "core": Documented(Program.SOTA_CORE, ("B2", "B12"), BY_CREDENTIAL),
    "resolver": Documented(Program.EXTERNAL_RESOLVER, ("B3", "B5"), BY_CREDENTIAL),
}


def rows_in(documented: Documented) -> tuple[Interaction, ...]:
    """Return the rows of a document: those over HTTP whose path is not itself the credential."""
    return tuple(
        row
        for row in TABLE.values()
        if row.callee is documented.program
        and row.boundary in documented.boundaries
        and isinstance(row.way, Http)
        and not row.way.secret_path
    )


def document(documented: Documented) -> Json:
    """Build the document of a program."""
    rows = rows_in(documented)
    schemas = Schemas(rows)
    paths: dict[str, Json] = {}
    for (method, path), same in by_route(rows).items():
        paths.setdefault(path, {})[method.lower()] = _operation(f"{method} {path}", same, schemas)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": f"SOTA: {documented.program}",
            "version": __version__,
            "description": f"{COMMON}\n{documented.who}",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [_tag(boundary, rows) for boundary in documented.boundaries],
        "paths": paths,
        "components": {
            "schemas": {**schemas.components, "Problem": problem_schema(codes_of(rows))},
            "responses": ordinary_responses(),
            "securitySchemes": _security_schemes(documented),
        },
    }


def _operation(route: str, rows: list[Interaction], schemas: Schemas) -> Json:
    operation: Json = {
        "operationId": OPERATIONS.get(route, route),
        "summary": rows[0].title,
        "description": _describe(rows),
        "tags": list(dict.fromkeys(row.boundary for row in rows)),
        "x-interactions": [row.id for row in rows],
    }
    role = least_role(rows)
    if role is not None:
        operation["x-role"] = role.value
    parameters = parameters_of(rows)
    if parameters:
        operation["parameters"] = parameters
    body = request_body(rows, schemas)
    if body is not None:
        operation["requestBody"] = body
    operation["responses"] = answers_of(rows, schemas)
    operation["security"] = _security(route, rows, role)
    return operation


def least_role(rows: list[Interaction]) -> Role | None:
    """Return the least role that may make the call; of rows that share a page the strictest. None behind B1.

    Of rows that a parameter chooses between it is that of the least: the parameter may ask for more.
    """
    roles = [row.role for row in rows if row.role is not None]
    chosen = any(isinstance(row.way, Http) and row.way.selected_by for row in rows)
    return (min if chosen else max)(roles, key=list(Role).index) if roles else None


def _describe(rows: list[Interaction]) -> str:
    parts = []
    for row in rows:
        lines = [f"**{row.id}** {row.title}, from {row.caller}:", ""]
        for outcome in (*row.outcomes, *row.also):
            said = f" '{outcome.message}'" if outcome.message else ""
            status = f"{outcome.status}{said}" if outcome.status is not None else "behaviour"
            lines.append(f"* `{outcome.name}` {status}: {outcome.text}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _tag(boundary: str, rows: tuple[Interaction, ...]) -> dict[str, str]:
    row = next(row for row in rows if row.boundary == boundary)
    return {"name": boundary, "description": f"{row.caller} to {row.callee}"}


def _security_schemes(documented: Documented) -> Json:
    if documented.program is not Program.WEB_SERVER:
        what = "The credential of the calling program, which this program's operator issued."
        return {"service": {"type": "http", "scheme": "bearer", "description": what}}
    return {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token, for programs."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-sota",
            "description": "The session of a signed-in user; over HTTPS only.",
        },
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRF-Token",
            "description": "The session's CSRF token, with whatever changes something.",
        },
    }


def _security(route: str, rows: list[Interaction], role: Role | None) -> list[dict[str, list[str]]]:
    if role is None:
        return [{"service": []}]
    if role is Role.PUBLIC:
        return []
    is_safe = route.startswith("GET ")
    session: dict[str, list[str]] = {"session": []} if is_safe else {"session": [], "csrf": []}
    is_page = all(isinstance(row.way, Http) and row.way.asset for row in rows)
    return [session] if is_page else [{"token": []}, session]
