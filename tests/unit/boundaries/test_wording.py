"""What is said of the commonest slips."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sota.boundaries.b2_web_core.messages import NewCampaign
from sota.boundaries.interaction import Lines
from sota.boundaries.table import TABLE
from sota.boundaries.wording import WORDS, in_words

PACKAGE = {"name": "ivi", "version": "2.1.0"}
GOOD: dict[str, Any] = {
    "package": PACKAGE,
    "priority": 1,
    "start": "2026-01-01T00:00:00Z",
    "end": "2026-01-02T00:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"priority": 101}, "priority must be 100 or less"),
        ({"priority": 0}, "priority must be 1 or more"),
        ({"package": PACKAGE | {"version": "1.0"}}, "package.version must be a version major.minor.patch"),
        ({"package": PACKAGE | {"name": "a b"}}, "package.name must be a package's name"),
        ({"start": "2026-01-01"}, "start must be a time with its zone"),
        ({"start": "2026-01-01T00:00:00"}, "start must have a time zone"),
        ({"name": "x" * 300}, "name may have 200 characters at most"),
    ],
)
def test_slip_is_explained_with_what_is_right(change: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(GOOD | change), type=NewCampaign)
    text = in_words(refused.value)
    assert text.startswith(said)
    assert "`" not in text


def test_every_alphabet_of_a_body_has_its_words() -> None:
    patterns: set[str] = set()

    def collect(schema: Any) -> None:
        if isinstance(schema, dict):
            patterns.update({schema["pattern"]} if isinstance(schema.get("pattern"), str) else set())
            for part in schema.values():
                collect(part)
        elif isinstance(schema, list):
            for part in schema:
                collect(part)

    kinds = [
        body.item if isinstance(body, Lines) else body
        for row in TABLE.values()
        if row.boundary in {"B1", "B12"}
        for body in [row.request]
        if body is not None and body is not bytes
    ]
    _, schemas = msgspec.json.schema_components([kind for kind in kinds if not isinstance(kind, dict)])
    collect(schemas)
    assert patterns - WORDS.keys() == set()
