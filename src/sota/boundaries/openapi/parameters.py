"""Parameters of operations: what stands in paths and queries, with their forms, and the ``Idempotency-Key`` header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from sota.boundaries.b2_web_core.messages import RequestStatus
from sota.boundaries.interaction import Http, Interaction
from sota.boundaries.openapi.schemas import plain
from sota.boundaries.values import PATH_VALUES, Id, Label, UpdateStatus, Vin

_SEGMENT = re.compile(r"\{(\w+)\}")
_TEXT = {"type": "string", "minLength": 1}
PATH: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "vin": ("a vehicle's VIN", {}, "WVWZZZ1KZ7W000001"),
    "id": (
        "an id: of an install request, a recorded resolution, or a token",
        {},
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ),
    "update_id": ("the id of one vehicle's update", {}, "01890a5d-ac96-774b-bcce-b302099a8058"),
    "name": ("a name: of the package, or of the filter", _TEXT, "ivi"),
    "version": ("the package's version", _TEXT, "2.1.0"),
    "part_number": ("a component's part number", _TEXT, "TCU-5G.2"),
    "filter": ("the name of a filter", _TEXT, "my-filter"),
    "group": ("the name of a group of vehicles", plain(msgspec.json.schema(Label)), "pilot"),
    "user": ("the name of an account", _TEXT, "alice"),
    "page": ("a page of the console", _TEXT, "index"),
    "file": ("a file that the console's manifest names", _TEXT, "console"),
}
QUERY: Mapping[str, tuple[str, dict[str, Any]]] = {
    "limit": ("entries a page", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
    "cursor": ("where the page begins: from the `Link` of the page before", {"type": "string"}),
    "regex": ("an RE2 expression, found anywhere in the text", {"type": "string", "maxLength": 512}),
    "packages": (
        "whether each vehicle comes with its installed packages; a page has 100 at most then",
        {"type": "string", "enum": ["true", "false"]},
    ),
    "package": (
        "only requests for this package",
        {"type": "string", "pattern": r"^[A-Za-z0-9.+_-]{1,100}/[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$"},
    ),
    "vin": ("only requests that include this vehicle", plain(msgspec.json.schema(Vin))),
    "id": ("part numbers, with commas between them", {"type": "string"}),
    "name": ("the component's name", {"type": "string"}),
    "actor": ("only what this account or token did", {"type": "string"}),
    "program": (
        "whose audit trail; the Web Server's without it",
        {"type": "string", "enum": ["web", "core", "resolver"]},
    ),
    "object": ("only records whose object has this text in it", {"type": "string"}),
    "interaction": ("only records of this row of the table", {"type": "string"}),
    "since": ("only records of this moment or later", {"type": "string", "format": "date-time"}),
    "until": ("only records before this moment", {"type": "string", "format": "date-time"}),
    "stop": ("whether what is under way is aborted too", {"type": "string", "enum": ["true", "false"]}),
    "erase": ("whether its history loses the VIN too; needs the role `admin`", {"type": "string", "enum": ["true"]}),
    "recursive": (
        "whether the edges of all that it may bring with it come too",
        {"type": "string", "enum": ["true", "false"]},
    ),
    "needs": ("only the dependency on this package", {"type": "string", "pattern": r"^[A-Za-z0-9.+_-]{1,100}$"}),
    "widen": (
        "whether the package may go to more vehicles without the filter",
        {"type": "string", "enum": ["true", "false"]},
    ),
    "v": ("the file's hash, so that a browser keeps one version of it", {"type": "string"}),
    "to": ("the id of the resolution to compare with", plain(msgspec.json.schema(Id))),
    "file": ("the file that the package is known to have; with another one it is another package", {"type": "string"}),
}
# The whitelist gives both a `status`: that of a request, and that of one vehicle's update.
STATUS: Mapping[str, type[StrEnum]] = {
    "/api/v1/install-requests": RequestStatus,
    "/api/v1/install-requests/{id}/vehicles": UpdateStatus,
}
IDEMPOTENT = frozenset(
    {
        *("WL-B1-5", "WL-B1-8", "WL-B1-18"),
        *("WL-B2-1", "WL-B2-2", "WL-B2-3", "WL-B2-4", "WL-B2-5", "WL-B2-8", "X-B2-7", "X-B2-20", "X-B2-21"),
        *("WL-B3-1", "WL-B3-2", "WL-B3-3", "WL-B3-4", "X-B3-2", "X-B3-4"),
    }
)
"""Rows that do a request repeated under one ``Idempotency-Key`` once, and answer it alike."""


def parameters_of(rows: Sequence[Interaction]) -> list[dict[str, Any]]:
    """Give the parameters of rows that share a route."""
    ways = [row.way for row in rows if isinstance(row.way, Http)]
    found = [_in_path(name) for name in _SEGMENT.findall(ways[0].path)]
    for name in dict.fromkeys(name for way in ways for name in way.query):
        found.append(_in_query(name, ways[0].path))
    if any(row.id in IDEMPOTENT for row in rows):
        text = "The same request under the same key is done once and answered alike, for a day."
        schema = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[!-~]+$"}
        found.append({"name": "Idempotency-Key", "in": "header", "description": text, "schema": schema})
    return found


def _in_path(name: str) -> dict[str, Any]:
    text, schema, example = PATH.get(name, ("", _TEXT, name))
    if name in PATH_VALUES:
        schema = plain(msgspec.json.schema(PATH_VALUES[name]))
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema, "example": example}


def _in_query(name: str, path: str) -> dict[str, Any]:
    if name == "status":
        choices = [member.value for member in STATUS[path]]
        return {
            "name": name,
            "in": "query",
            "description": "only those of this status",
            "schema": {"type": "string", "enum": choices},
        }
    text, schema = QUERY.get(name, ("", {"type": "string"}))
    return {"name": name, "in": "query", "description": text, "schema": schema}
