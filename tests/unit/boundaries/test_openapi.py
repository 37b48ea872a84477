"""The API documents hold every row of theirs, with each outcome, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from sota.boundaries.interaction import Http, Interaction, Lines
from sota.boundaries.openapi import DOCUMENTED, document, rows_in
from sota.boundaries.openapi.errors import errors_page
from sota.boundaries.openapi.examples import EXAMPLES, example_of
from sota.boundaries.openapi.operations import OPERATIONS
from sota.boundaries.table import TABLE

ROOT = Path(__file__).parents[3]
DOCUMENTS = {name: document(documented) for name, documented in DOCUMENTED.items()}


def operations(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENTS[name]["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def answer(name: str, operation: dict[str, Any], status: int) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"][str(status)]
    if "$ref" in found:
        found = DOCUMENTS[name]["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_row_and_outcome_stands_in_the_document(name: str) -> None:
    by_row = {row_id: operation for _, operation in operations(name) for row_id in operation["x-interactions"]}
    rows = rows_in(DOCUMENTED[name])
    assert sorted(by_row) == sorted(row.id for row in rows)
    for row in rows:
        for outcome in (*row.outcomes, *row.also):
            if outcome.status is not None:
                assert f"`{outcome.name}`" in answer(name, by_row[row.id], outcome.status)["description"]


def test_web_core_and_resolver_have_all_their_rows() -> None:
    documented = {row.id for one in DOCUMENTED.values() for row in rows_in(one)}
    rows = (row for row in TABLE.values() if row.boundary in {"B1", "B2", "B3", "B5", "B12"})
    assert documented == {row.id for row in rows if isinstance(row.way, Http)}


def test_literal_messages_are_examples() -> None:
    paths = DOCUMENTS["web"]["paths"]
    vehicles = paths["/api/v1/vehicles"]["post"]["responses"]
    inserted = vehicles["200"]["content"]["application/json"]["examples"]["inserted"]["value"]
    exists = vehicles["409"]["content"]["application/problem+json"]["examples"]["vin_exists"]["value"]
    assert inserted == {"message": "Row Inserted"}
    assert exists == {
        "type": "about:blank",
        "title": "VIN already exists",
        "status": 409,
        "code": "vin_exists",
        "interaction": "WL-B1-4",
    }


def test_rows_of_one_path_are_one_operation() -> None:
    filters = DOCUMENTS["web"]["paths"]["/api/v1/filters"]["get"]
    assert filters["x-interactions"] == ["WL-B1-22", "WL-B1-23"]
    assert [one["name"] for one in filters["parameters"]] == ["regex", "limit", "cursor"]
    packages = DOCUMENTS["core"]["paths"]["/api/v1/packages"]["post"]
    assert packages["x-interactions"] == ["WL-B2-1", "WL-B2-8"]
    assert {"200", "404", "409", "500"} <= packages["responses"].keys()
    resolve = DOCUMENTS["resolver"]["paths"]["/api/v1/resolve"]["post"]
    assert (resolve["x-interactions"], resolve["tags"]) == (["WL-B3-5", "WL-B5-1"], ["B3", "B5"])


def test_names_of_operations_are_written_down_and_stand_once() -> None:
    routes = {route for name in DOCUMENTED for route, _ in operations(name)}
    assert routes == OPERATIONS.keys()
    assert len(set(OPERATIONS.values())) == len(OPERATIONS)
    for name in DOCUMENTED:
        assert all(operation["operationId"] == OPERATIONS[route] for route, operation in operations(name))


def test_parameters_say_what_they_are() -> None:
    every = [parameter for name in DOCUMENTED for _, one in operations(name) for parameter in one.get("parameters", ())]
    assert [parameter["name"] for parameter in every if not parameter["description"]] == []


def test_refusals_stand_where_they_can_occur() -> None:
    paths = DOCUMENTS["web"]["paths"]
    assert "429" in paths["/login"]["post"]["responses"]
    assert not {"413", "415", "429"} & paths["/api/v1/vehicles"]["get"]["responses"].keys()
    assert {"401", "403", "413", "415"} <= paths["/api/v1/vehicles"]["post"]["responses"].keys()
    assert "401" not in DOCUMENTS["core"]["paths"]["/api/v1/vehicles"]["post"]["responses"]
    assert "422" in paths["/api/v1/install-requests"]["post"]["responses"]


def test_security_tells_programs_browsers_and_services_apart() -> None:
    paths = DOCUMENTS["web"]["paths"]
    assert paths["/api/v1/vehicles"]["get"]["security"] == [{"token": []}, {"session": []}]
    assert paths["/api/v1/vehicles"]["post"]["security"] == [{"token": []}, {"session": [], "csrf": []}]
    assert paths["/login"]["get"]["security"] == []
    assert DOCUMENTS["resolver"]["paths"]["/api/v1/facts"]["post"]["security"] == [{"service": []}]


def test_upload_is_two_parts() -> None:
    content = DOCUMENTS["web"]["paths"]["/api/v1/packages"]["post"]["requestBody"]["content"]
    assert list(content["multipart/form-data"]["schema"]["properties"]) == ["metadata", "file"]


def kinds(rows: tuple[Interaction, ...]) -> list[Any]:
    found = [kind for row in rows for kind in (row.request, row.response) if kind not in (None, bytes)]
    return [kind.item if isinstance(kind, Lines) else kind for kind in found]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_are_what_the_types_take(name: str) -> None:
    for kind in kinds(rows_in(DOCUMENTED[name])):
        msgspec.convert(example_of(kind), kind)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_example_is_of_its_type(kind: type) -> None:
    msgspec.convert(EXAMPLES[kind], kind)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_conform_to_the_schemas(name: str) -> None:
    made = DOCUMENTS[name]
    for _, operation in operations(name):
        contents = [answer(name, operation, int(status)).get("content", {}) for status in operation["responses"]]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for entry in (entry for content in contents for entry in content.values()):
            schema = {**entry["schema"], "components": made["components"]}
            values = [one["value"] for one in entry.get("examples", {}).values()]
            values += [entry["example"]] if "example" in entry else []
            for value in values:
                jsonschema_rs.validate(schema, value)


def test_page_of_error_codes_is_up_to_date() -> None:
    assert (ROOT / "docs" / "reference" / "errors.md").read_text() == errors_page()
