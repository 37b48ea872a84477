"""B1: the API document, as JSON and as a page."""

from __future__ import annotations

import pytest

from sota.boundaries.interaction import Role
from tests.support.backend import Backend


@pytest.mark.whitelist("X-B1-8", "served")
async def test_api_document_is_served_to_viewers(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/openapi.json", role=Role.VIEWER)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body["openapi"] == "3.1.0"
    assert answer.body["paths"]["/api/v1/vehicles"]["post"]["operationId"] == "register_vehicle"


async def test_api_document_is_not_for_strangers(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/openapi.json", role=Role.PUBLIC)
    assert (answer.status, answer.body["code"]) == (401, "unauthenticated")


async def test_client_reads_the_api_document(backend: Backend) -> None:
    found = await (await backend.api(Role.VIEWER)).api_document()
    assert found.info["title"] == "SOTA: Web Server"


@pytest.mark.whitelist("X-B1-9", "served")
async def test_page_shows_every_operation_without_a_script(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/docs", role=Role.VIEWER)
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert 'id="register_vehicle"' in page
    assert "VIN already exists" in page
    assert not [word for word in ("<script", "style=", "http://", "//cdn") if word in page]


@pytest.mark.whitelist("X-B1-9", "redirected")
async def test_browser_that_is_not_signed_in_is_sent_to_the_login_page_and_back(backend: Backend) -> None:
    browser = backend.browser()
    sent = await browser.api_page()
    assert (sent.status, sent.headers["location"]) == (301, "/login")
    back = await browser.sign_in("admin", backend.password)
    assert (back.status, back.headers["location"]) == (301, "/api/docs")
    assert (await browser.api_page()).status == 200


async def test_program_without_a_token_is_told_so(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/docs", role=Role.PUBLIC, headers={"accept": "application/json"})
    assert (answer.status, answer.body["code"]) == (401, "unauthenticated")
