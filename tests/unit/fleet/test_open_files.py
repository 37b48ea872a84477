"""How many databases a fleet keeps open: never more than the process may open files for."""

from __future__ import annotations

import resource

import pytest

from sota.fleet import fleet
from sota.kit.errors import StartError


def allow(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    """Limit the process to this many open files, without a way to raise the limit."""

    def refuse(_kind: int, limits: tuple[int, int]) -> None:
        if limits[1] > hard:
            raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, hard))
    monkeypatch.setattr(resource, "setrlimit", refuse)


@pytest.mark.parametrize(("vehicles", "hard"), [(1, 1024), (100, 1024), (400, 1200), (5_000, 20_000), (5_000, 1 << 20)])
def test_connections_arriving_files_and_databases_fit(
    vehicles: int, hard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, hard)

    databases = fleet._open_databases(vehicles)

    connections, arriving, logs = vehicles, vehicles, databases
    assert connections + arriving + databases + logs < hard
    assert databases == vehicles or 2 * (databases + 1) > hard - 2 * vehicles - fleet.OTHER_FILES


def test_too_few_open_files_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 1024)
    with pytest.raises(StartError, match="400 vehicles need more than the 1024 files"):
        fleet._open_databases(400)
