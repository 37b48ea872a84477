"""Parameters of operations, made from the types that rows declare; and the ``Idempotency-Key`` header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from sota.boundaries.binding.query import MAX_KEY
from sota.boundaries.interaction import Interaction
from sota.boundaries.openapi.schemas import Json, plain
from sota.boundaries.parameters import Parameters, path_type

KEY: Mapping[str, object] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same request under the same key is done once and answered alike, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[ -~]+$"},
}


def parameters_of(rows: Sequence[Interaction]) -> list[Mapping[str, object]]:
    """Return the parameters of rows that share a route, and therefore a path and a query."""
    way = rows[0].http
    found = [*_described(path_type(way.path), "path"), *_described(way.query, "query")]
    return [*found, KEY] if any(row.http.keyed for row in rows) else found


def _described(kind: type[Parameters] | None, place: str) -> Iterator[Mapping[str, object]]:
    if kind is None:
        return
    _, types = msgspec.json.schema_components([kind])
    whole: Json = plain(types.pop(kind.__name__))
    for name, declared in whole["properties"].items():
        schema = _flat(declared, types)
        described: dict[str, object] = {"name": name, "in": place, "description": schema.pop("description", "")}
        if name in whole["required"]:
            described["required"] = True
        examples = schema.pop("examples", None)
        yield {**described, "schema": schema, **({"example": examples[0]} if examples else {})}


def _flat(schema: Json, types: Mapping[str, Json]) -> Json:
    """Return a member's schema without null (for absent) and without a reference to its type."""
    choices = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
    for part in (*choices, *schema.pop("allOf", ())):
        schema = {**part, **schema}
    reference = schema.pop("$ref", None)
    if reference is not None:
        schema = {**types[reference.rpartition("/")[2]], **schema}
    if schema.get("default", ...) is None:
        del schema["default"]
    schema.pop("title", None)
    return {"type": "string", **schema} if "enum" in schema else schema
