"""Schemas of bodies, made from the message types; and the schema of an error body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from sota.boundaries.interaction import Interaction, Lines

Json = dict[str, Any]  # a JSON object: its members are of many types
REFERENCE = "#/components/schemas/{name}"
# Python's `$` also matches before a last line feed, JSON Schema's does not: there the guard says nothing.
GUARD = r"$(?!\n)"


class Schemas:
    """The schemas of all bodies of some rows; :meth:`of` gives that of one type."""

    def __init__(self, rows: Iterable[Interaction]) -> None:
        kinds = [kind for row in rows for kind in (row.request, row.response) if kind not in (None, bytes)]
        bare = [kind.item if isinstance(kind, Lines) else kind for kind in kinds]
        schemas, components = msgspec.json.schema_components(bare, ref_template=REFERENCE)
        self.components: Json = {name: plain(schema) for name, schema in sorted(components.items())}
        self._schemas = [(kind, plain(schema)) for kind, schema in zip(bare, schemas, strict=True)]

    def of(self, kind: object) -> Json:
        """Return the schema of a type that some row has as its request or response."""
        return next(schema for known, schema in self._schemas if known == kind)

    def with_message(self, kind: object) -> Json:
        """Return the schema of an object to which the binder adds the row's literal message."""
        schema = self.of(kind)
        whole = self.components[schema["$ref"].rpartition("/")[2]]
        if "message" in whole["properties"]:
            return schema
        properties = {"message": {"type": "string"}, **whole["properties"]}
        return {"type": "object", "properties": properties, "required": ["message", *whole.get("required", ())]}


def problem_schema(codes: Iterable[str]) -> Json:
    """Return the schema of an error body with these codes."""
    return {
        "type": "object",
        "title": "Problem",
        "description": "Why a request was refused (RFC 9457).",
        "properties": {
            "type": {"type": "string", "const": "about:blank"},
            "title": {"type": "string", "description": "the row's literal message, or the status in words"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string", "enum": sorted(codes), "description": "stable: programs compare this"},
            "detail": {"type": "string", "description": "what was wrong here, and the way out"},
            "interaction": {"type": "string", "description": "the row of the whitelist"},
        },
        "required": ["type", "title", "status", "code"],
    }


def plain(schema: Json) -> Json:
    """Return a schema as JSON Schema readers expect it, without the Python forms of patterns and texts."""
    return {key: _plain(key, value) for key, value in schema.items()}


def _plain(key: str, value: object) -> object:
    if isinstance(value, str):
        return _text(key, value)
    if isinstance(value, list):
        return [_plain("", item) if not isinstance(item, str) else item for item in value]
    return plain(value) if isinstance(value, dict) else value


def _text(key: str, value: str) -> str:
    if key == "pattern":
        return value.replace(GUARD, "$")
    return value.replace("``", "`") if key == "description" else value
