"""SQL in every text that a request may hold: kept as the text that it is, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from sota.boundaries.interaction import Role
from tests.conftest import new_database
from tests.support.answer import Answer
from tests.support.backend import Backend, running_backend
from tests.support.names import new_name

SQL = [
    "' OR '1'='1",
    "'; DROP TABLE package; --",
    '" OR ""="',
    "\\'; DELETE FROM vehicle; -- ",
    "%' OR 1=1 /*",
    "%",
    "_",
    "1); UPDATE account SET role='admin'; --",
    "${jndi:ldap://evil}",
    "{0} %s %(a)s :name ? $1",
    "\\",
    "' UNION SELECT password_hash FROM account -- ",
    "trailing space ",
    "na\u00efve \u202e \U0001f697",
]
TABLES = ("vehicles", "packages", "filters", "components")


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
async def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    databases = [new_database(request, tmp_path_factory, request.param) for _ in range(3)]
    async with running_backend(tmp_path_factory.mktemp("attacked"), databases) as running:
        yield running


async def everything(backend: Backend) -> dict[str, Any]:
    """Return all pages of each list."""
    return {name: (await backend.ask("GET", f"/api/v1/{name}", query={"limit": "1000"})).body for name in TABLES}


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_free_texts_is_kept_as_it_is(backend: Backend, text: str) -> None:
    part, package, vin = new_name("part"), new_name("package"), await backend.with_vehicle()
    before = await everything(backend)
    component = {"part_number": part, "name": text, "description": text}
    metadata = {
        "name": package,
        "version": "1.0.0",
        "installer": "deb",
        "description": text,
        "vendor": text,
        "target": text,
    }
    assert (await backend.ask("POST", "/api/v1/components", component)).status == 200
    assert (await backend.upload(metadata, b"content")).status == 200
    installed = [{"name": text, "version": text}]
    assert (await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", installed)).body == installed
    found = await backend.ask("GET", "/api/v1/components", query={"name": text})
    shown = await backend.ask("GET", f"/api/v1/packages/{package}/1.0.0")
    assert component in found.body
    assert {name: shown.body[name] for name in ("description", "vendor", "target")} == dict.fromkeys(
        ("description", "vendor", "target"), text
    )
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}/packages")).body == installed
    having = f"/api/v1/packages/{quote(text, safe='')}/{quote(text, safe='')}/vehicles"
    assert (await backend.ask("GET", having)).body == [vin]
    after = await everything(backend)
    assert {name: len(after[name]) - len(before[name]) for name in TABLES} == {
        "vehicles": 0,
        "packages": 1,
        "filters": 0,
        "components": 1,
    }
    for name in TABLES:
        assert all(entry in after[name] for entry in before[name])


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_names_finds_and_changes_nothing(backend: Backend, text: str) -> None:
    await backend.with_vehicle()
    before = await everything(backend)
    inside = quote(text, safe="")
    tried: list[Answer] = [
        await backend.ask("POST", "/api/v1/vehicles", {"vin": text}),
        await backend.ask("POST", "/api/v1/filters", {"name": text, "expression": "TRUE"}),
        await backend.ask("POST", "/api/v1/components", {"part_number": text}),
        await backend.ask("PUT", f"/api/v1/filters/{inside}", {"expression": "TRUE"}),
        await backend.ask("DELETE", f"/api/v1/filters/{inside}"),
        await backend.ask("DELETE", f"/api/v1/packages/{inside}/{inside}", role=Role.ADMIN),
        await backend.ask("GET", f"/api/v1/packages/{inside}/{inside}"),
        await backend.ask("GET", f"/api/v1/packages/{inside}/{inside}/file"),
        await backend.ask("POST", f"/api/v1/packages/{inside}/1.0.0/filters", {"filter": text}),
        await backend.ask("GET", "/api/v1/vehicles", query={"cursor": text}),
        await backend.ask("GET", "/api/v1/vehicles", query={"limit": text}),
        await backend.ask("GET", "/api/v1/install-requests", query={"package": text}),
        await backend.ask("GET", "/api/v1/install-requests", query={"status": text}),
        await backend.ask("GET", f"/api/v1/updates/{inside}"),
    ]
    assert all(400 <= answer.status < 500 for answer in tried), tried
    searched = await backend.ask("GET", "/api/v1/components", query={"id": text})
    assert searched.body == [] or searched.status >= 400
    assert await everything(backend) == before


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_credentials_signs_no_user_in(backend: Backend, text: str) -> None:
    browser = backend.browser()
    assert (await browser.sign_in(text, text, as_json=True)).status in {401, 429}
    assert (await browser.sign_in(f"admin{text}", "x", as_json=True)).status in {401, 429}
    bearer = {"authorization": b"Bearer ".decode() + text.encode("ascii", "ignore").decode().replace("\\", "")}
    answer = await backend.ask("GET", "/api/v1/vehicles", role=Role.PUBLIC, headers=bearer)
    assert answer.status == 401
