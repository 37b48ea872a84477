"""SQL in each text that the API document names: path, query and body member in turn, by an admin, on both engines.

What is answered does not matter here, as long as it is a declared answer: nothing crashes in the
database, and everything is still there afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from sota.boundaries.interaction import Role
from sota.boundaries.openapi import DOCUMENTED, document
from tests.conftest import new_database
from tests.support.backend import Backend, running_backend

PATHS: dict[str, dict[str, Any]] = document(DOCUMENTED["web"])["paths"]
SQL = ("' OR '1'='1", "\\'; DELETE FROM vehicle; -- ")
KNOWN = {
    "vin": "WVWZZZ1KZ7W000001",
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "update_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "name": "nothing",
    "group": "nothing",
    "filter": "nothing",
    "user": "nobody",
    "version": "1.0.0",
}
Place = tuple[str | int, ...]


def cases() -> Iterator[Any]:
    for path, methods in PATHS.items():
        if not path.startswith("/api/"):
            continue
        for method, operation in methods.items():
            if list(operation.get("requestBody", {}).get("content", {"application/json": {}})) == ["application/json"]:
                yield pytest.param(method.upper(), path, operation, id=operation["operationId"])


def texts(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places of texts in a body."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from texts(member, (*place, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from texts(member, (*place, index))


def put(body: Any, place: Place, text: str) -> Any:
    """Return the body with another text in a place."""
    if not place:
        return text
    changed = copy.deepcopy(body)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = text
    return changed


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
async def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    databases = [new_database(request, tmp_path_factory, request.param) for _ in range(3)]
    async with running_backend(tmp_path_factory.mktemp("attacked"), databases) as running:
        await running.ask("POST", "/api/v1/vehicles", {"vin": KNOWN["vin"]})
        await running.with_targeted_package()
        yield running


@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize(("method", "path", "operation"), list(cases()))
async def test_sql_in_each_text_of_an_operation_is_a_text(
    backend: Backend, method: str, path: str, operation: dict[str, Any], text: str
) -> None:
    content = operation.get("requestBody", {}).get("content", {})
    body = content["application/json"]["example"] if content else None
    parameters = [(one["in"], one["name"]) for one in operation.get("parameters", [])]
    tried: list[tuple[str, Any, dict[str, str]]] = [
        (path.format(**{**KNOWN, name: quote(text, safe="")}), body, {}) for kind, name in parameters if kind == "path"
    ]
    tried += [(path.format(**KNOWN), body, {name: text}) for kind, name in parameters if kind == "query"]
    tried += [(path.format(**KNOWN), put(body, place, text), {}) for place in texts(body)]
    for target, changed, query in tried:
        answer = await backend.ask(method, target, changed, role=Role.ADMIN, query=query)
        assert answer.status < 500, (target, changed, query, answer)
        assert "failed on our side" not in str(answer.body), (target, changed, query, answer)


async def test_everything_is_still_there(backend: Backend) -> None:
    vins = [vehicle["vin"] for vehicle in (await backend.ask("GET", "/api/v1/vehicles")).body]
    assert KNOWN["vin"] in vins
    for what in ("packages", "filters"):
        assert (await backend.ask("GET", f"/api/v1/{what}")).body != []
    users = (await backend.ask("GET", "/api/v1/users", role=Role.ADMIN)).body
    assert {user["name"]: user["role"] for user in users}["admin"] == "admin"
    assert (await backend.ask("GET", "/api/v1/audit/verify", role=Role.ADMIN)).body["holds"]
