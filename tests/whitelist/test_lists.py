"""Every list of B1, and so of the rows behind it: what a cursor may be, and where the next page begins."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from sota.boundaries.interaction import Http, Interaction, Role
from sota.boundaries.openapi import DOCUMENTED, rows_in
from tests.support.answer import Answer
from tests.support.backend import Backend
from tests.support.names import new_name

pytestmark = pytest.mark.anyio
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
KNOWN = {
    "vin": "WVWZZZ1KZ7W000001",
    "id": ID,
    "name": "ivi",
    "version": "1.0.0",
    "group": "pilot",
    "filter": "all",
}
LISTS = [
    row
    for row in rows_in(DOCUMENTED["web"])
    if isinstance(row.way, Http) and "cursor" in row.way.parameters and row.way.path.startswith("/api/")
    if row.way.method == "GET"
]
FOREIGN: list[Any] = [
    "zz",
    "",
    7,
    -1,
    1 << 70,
    None,
    ID,
    ["ivi", "1.0.0"],
    ["9999-12-31T23:59:59-14:00", ID],
    ["0001-01-01T00:00:00", ID],
    [ID, 1 << 70],
    ["ivi", 1],
]


def encoded(key: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def cursor_of(answer: Answer) -> str:
    return answer.headers["link"].partition("cursor=")[2].partition(">")[0]


@pytest.mark.parametrize("row", LISTS, ids=[row.id for row in LISTS])
async def test_cursor_that_the_list_did_not_return_is_refused(backend: Backend, row: Interaction) -> None:
    assert isinstance(row.way, Http)
    failed = row.outcome("failed")
    expected = 400 if failed is None else failed.status
    path = row.way.path.format(**KNOWN)
    extra = {"regex": ""} if row.way.selected_by == "regex" else {"to": ID} if "to" in row.way.parameters else {}
    for cursor in [*(encoded(key) for key in FOREIGN), "nonsense", "ÿ", "A" * 4000]:
        answer = await backend.ask("GET", path, role=Role.ADMIN, query={**extra, "cursor": cursor})
        assert (answer.status, answer.body["interaction"]) == (expected, row.id), cursor


async def test_cursor_of_one_list_is_refused_by_another(backend: Backend) -> None:
    for _ in range(2):
        await backend.ask("POST", "/api/v1/filters", {"name": new_name("all"), "expression": "TRUE"})
        await backend.ask("PUT", f"/api/v1/groups/{new_name('pilot')}", {})
    cursor = cursor_of(await backend.ask("GET", "/api/v1/filters", query={"limit": "1"}))
    own = await backend.ask("GET", "/api/v1/filters", query={"limit": "1", "cursor": cursor})
    other = await backend.ask("GET", "/api/v1/groups", query={"limit": "1", "cursor": cursor})
    assert (own.status, other.status) == (200, 400)


@pytest.mark.whitelist("WL-B1-27", "found", "failed")
@pytest.mark.whitelist("WL-B2-10", "found", "failed")
async def test_packages_of_a_vehicle_come_a_page_at_a_time(backend: Backend) -> None:
    vin = await backend.with_vehicle()
    packages = [{"name": f"package-{number}", "version": "1.0.0"} for number in range(5)]
    path = f"/api/v1/vehicles/{vin}/packages"
    assert (await backend.ask("PUT", path, packages)).status == 200
    first = await backend.ask("GET", path, query={"limit": "3"})
    second = await backend.ask("GET", path, query={"limit": "3", "cursor": cursor_of(first)})
    assert first.headers["link"].startswith(f"<{path}?limit=3&cursor=")
    assert (first.body, second.body, "link" in second.headers) == (packages[:3], packages[3:], False)
    refused = await backend.ask("GET", path, query={"cursor": "nonsense"})
    assert (refused.status, refused.message) == (404, "View Packages per VIN Request failed")
    assert [one.name for one in await (await backend.api()).packages_of(vin)] == [one["name"] for one in packages]


@pytest.mark.whitelist("WL-B1-24", "updated")
@pytest.mark.whitelist("WL-B1-25", "deleted")
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_filters_after_a_change_come_a_page_at_a_time(backend: Backend, method: str) -> None:
    names = [new_name("paged") for _ in range(3)]
    for name in names:
        await backend.ask("POST", "/api/v1/filters", {"name": name, "expression": "TRUE"})
    body = {"expression": "FALSE"} if method == "PUT" else None
    refused = await backend.ask(method, f"/api/v1/filters/{names[0]}", body, query={"limit": "0"})
    assert refused.status == 400
    changed = await backend.ask(method, f"/api/v1/filters/{names[0]}", body, query={"limit": "1"})
    assert (changed.status, len(changed.body)) == (200, 1)
    assert changed.headers["link"].startswith("</api/v1/filters?limit=1&cursor=")
    following = await backend.ask("GET", "/api/v1/filters", query={"limit": "1", "cursor": cursor_of(changed)})
    assert following.status == 200
    assert following.body[0]["name"] > changed.body[0]["name"]
