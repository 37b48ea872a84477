"""The live table of a fleet: everything can be read in a narrow terminal, and in a file as lines."""

from __future__ import annotations

import io

from rich.console import Console

from sota.cli.fleet.screen import Screen
from sota.fleet.counts import Counts, UpdateStage


def counts() -> Counts:
    found = Counts(["A", "B", "C", "D"])
    found.connected = 3
    for vin in ("A", "B"):
        found.notified(vin, "update", frozenset({1}))
        found.reported(vin, 1, "failed" if vin == "A" else "installed", "verification_failed" if vin == "A" else None)
        found.confirmed(vin, 1)
    found.notified("C", "update", frozenset({1}))
    found.installing("C")
    return found


def shown(*, terminal: bool) -> str:
    text = io.StringIO()
    screen = Screen(
        "4 simulated vehicles, seed 7", Console(file=text, force_terminal=terminal, width=80, color_system=None)
    )
    with screen.live():
        screen.show(counts().snapshot())
    return text.getvalue()


def test_table_shows_every_stage_whole_in_a_narrow_terminal() -> None:
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in shown(terminal=True).splitlines()]
    numbers = {row[0]: row[1] for row in rows if len(row) == 2}
    assert numbers == {
        **dict.fromkeys(map(str, UpdateStage), "0"),
        "idle": "1", "installing": "1", "installed": "1", "failed": "1", "connected": "3", "… verification_failed": "1",
    }  # fmt: skip


def test_table_tells_rates_and_the_fleet() -> None:
    text = shown(terminal=True)
    assert "4 simulated vehicles, seed 7" in text
    assert "MB/s" in text
    assert "vehicles/s" in text


def test_lines_are_written_where_there_is_no_terminal() -> None:
    assert shown(terminal=False).splitlines() == [
        "3 connected; 1 idle, 1 installing, 1 installed, 1 failed; 0.0 MB/s, 0.0 vehicles/s"
    ]
