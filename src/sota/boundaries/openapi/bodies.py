"""Bodies of requests: JSON, NDJSON, a form, or an upload in two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sota.boundaries.b1_browser_web import admin_rows, page_rows
from sota.boundaries.b1_browser_web.messages import Credentials, PackageMetadata
from sota.boundaries.interaction import Interaction, Lines
from sota.boundaries.openapi.examples import example_of
from sota.boundaries.openapi.schemas import Json, Schemas

JSON = "application/json"
BYTES = "application/octet-stream"
BYTES_SCHEMA = {"schema": {"type": "string", "contentMediaType": BYTES}}
NDJSON = "application/x-ndjson"
FORM = "application/x-www-form-urlencoded"
# Forms of the console, and their fields beside the CSRF token.
FORMS: Mapping[str, tuple[str, ...]] = {
    page_rows.LOGOUT.id: (),
    admin_rows.CHANGE_PASSWORD_FORM.id: ("old_password", "new_password", "new_password_again"),
}


def request_body(rows: Sequence[Interaction], schemas: Schemas) -> Json | None:
    """Return the request body of rows that share a route, None if they have none."""
    kind = next((row.request for row in rows if row.request is not None), None)
    fields = next((FORMS[row.id] for row in rows if row.id in FORMS), None)
    if fields is not None:
        properties = {name: {"type": "string"} for name in ("csrf_token", *fields)}
        return {"required": bool(fields), "content": {FORM: {"schema": {"type": "object", "properties": properties}}}}
    if kind is None:
        return None
    return {"required": True, "content": _content(kind, schemas)}


def _content(kind: object, schemas: Schemas) -> Json:
    if isinstance(kind, Lines):
        return {NDJSON: lines(kind, schemas)}
    if kind is bytes:
        return {BYTES: BYTES_SCHEMA}
    schema, example = schemas.of(kind), example_of(kind)
    if kind is PackageMetadata:
        return {"multipart/form-data": _upload(schema, example)}
    content = {JSON: entry(schema, example)}
    return {FORM: entry(schema, example), **content} if kind is Credentials else content


def entry(schema: Json, example: object) -> Json:
    """Describe a body of one media type."""
    return {"schema": schema} if example is None else {"schema": schema, "example": example}


def lines(kind: Lines, schemas: Schemas) -> Json:
    """Describe a body of one object a line. OpenAPI 3.1 cannot express it: ``x-line`` holds the object's schema."""
    schema = {
        "type": "string",
        "contentMediaType": NDJSON,
        "description": "One JSON object a line.",
        "x-line": schemas.of(kind.item),
    }
    return entry(schema, example_of(kind))


def _upload(metadata: Json, example: object) -> Json:
    return {
        "schema": {
            "type": "object",
            "description": "Two parts, in this order.",
            "properties": {
                "metadata": metadata,
                "file": {
                    "type": "string",
                    "contentMediaType": BYTES,
                    "description": "The package's file, of any size: it is streamed.",
                },
            },
            "required": ["metadata", "file"],
            "additionalProperties": False,
        },
        "encoding": {
            "metadata": {"contentType": JSON},
            "file": {"contentType": BYTES},
        },
        "example": {"metadata": example, "file": "(the bytes)"},
    }
