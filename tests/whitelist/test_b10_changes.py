"""B10, locally changed software: the program that made a change reports to the SOTA Client, and this to Core."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.vehicle import running_vehicle

CHANGE = {"package": {"name": "vim", "version": "9.1"}, "operation": "upgrade", "at": "2026-03-01T12:00:00Z"}


@pytest.mark.whitelist("X-B10-40", "received")
async def test_changes_are_kept_and_told(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        answer = await vehicle.call_client("POST", "/v1/changes", [CHANGE])
        assert answer.status == 200
        assert (await vehicle.node.heard("packages"))["changes"] == [CHANGE]
        refused = await vehicle.call_client("POST", "/v1/changes", [{**CHANGE, "operation": "paint"}])
        assert refused.status == 400
