"""B1: an absent neighbour is 503 with Retry-After on every row, also where the row has an outcome for errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.backend import Server

VIN = "WVWZZZ1KZ7W000011"
INTERVAL = {"start": "2030-01-01T00:00:00Z", "end": "2030-02-01T00:00:00Z"}
QUEUE = {"package": {"name": "ivi", "version": "1.0.0"}, "priority": 50, "interval": INTERVAL}
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/vehicles", None),
    ("POST", "/vehicles", {"vin": VIN}),
    ("GET", f"/vehicles/{VIN}/packages", None),
    ("PUT", f"/vehicles/{VIN}/packages", []),
    ("GET", "/packages", None),
    ("GET", "/packages/ivi/1.0.0/vehicles", None),
    ("POST", "/packages/ivi/1.0.0/filters", {"filter": "some"}),
    ("GET", "/filters", None),
    ("POST", "/filters", {"name": "some", "expression": "TRUE"}),
    ("PUT", "/filters/some", {"expression": "TRUE"}),
    ("DELETE", "/filters/some", None),
    ("GET", "/components", None),
    ("POST", "/components", {"part_number": "TCU-5G.2"}),
    ("GET", "/install-requests", None),
    ("POST", "/install-requests", QUEUE),
    ("POST", "/install-requests/batch", [QUEUE]),
]


async def test_neighbour_that_is_away_is_503_on_every_row(cut_off: Server) -> None:
    for method, path, body in CALLS:
        answer = await cut_off.ask(method, f"/api/v1{path}", body)
        assert (answer.status, answer.message) == (503, "Service Unavailable"), (method, path, answer)
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in answer.body["detail"]


@pytest.mark.parametrize("regex", ["(", "[a-"])
async def test_what_the_request_itself_gets_wrong_is_not_503(cut_off: Server, regex: str) -> None:
    answer = await cut_off.ask("GET", "/api/v1/vehicles", query={"regex": regex, "limit": "none"})
    assert answer.status == 400
