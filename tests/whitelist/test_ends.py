"""The house can be found in: every row has both ends in the source, and ``sota whitelist`` prints them."""

from __future__ import annotations

import msgspec
import pytest

from sota.boundaries.ends import Ends, find_ends, unknown_ids
from sota.boundaries.interaction import Interaction
from sota.boundaries.table import TABLE
from sota.cli.whitelist import whitelist
from sota.kit.errors import NotFound

ROWS = tuple(TABLE.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_has_both_ends(row: Interaction) -> None:
    ends = find_ends().get(row.id, Ends())
    assert ends.callers, f"no program calls {row.id} ({row.title})"
    assert ends.handlers, f"no program answers {row.id} ({row.title})"


def test_every_end_belongs_to_a_row() -> None:
    assert unknown_ids(TABLE) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_command_prints_ends_messages_and_outcomes(row: Interaction, capsys: pytest.CaptureFixture[str]) -> None:
    whitelist(row.id)
    printed = capsys.readouterr().out
    ends = find_ends().get(row.id, Ends())
    assert printed.startswith(f"{row.id}  {row.title}\n{row.caller} -> {row.callee}: ")
    assert all(f"  {place}  {place.name}" in printed for place in (*ends.callers, *ends.handlers))
    assert all(f"  {outcome.name}" in printed and outcome.text in printed for outcome in row.outcomes)
    assert all(f"'{outcome.message}'" in printed for outcome in row.outcomes if outcome.message)
    assert ("\nRequest" in printed) == (row.request is not None)


def test_json_lists_99_rows_with_241_outcomes_and_the_extensions(capsys: pytest.CaptureFixture[str]) -> None:
    whitelist(json=True)
    listed = msgspec.json.decode(capsys.readouterr().out)
    own = [row for row in listed if not row.get("extension")]
    assert len(own) == 99
    assert sum(len(row["outcomes"]) for row in own) == 241
    assert len(listed) == len(TABLE)
    assert all({"id", "boundary", "caller", "callee", "outcomes", "tests", "handler"} <= set(row) for row in listed)
    assert set(listed[0]["outcomes"][0]) == {"name", "status", "message", "text"}


def test_boundary_chooses_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    whitelist(boundary="b2", json=True)
    listed = msgspec.json.decode(capsys.readouterr().out)
    assert {row["boundary"] for row in listed} == {"B2"}


def test_list_ends_with_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    whitelist()
    assert "99 rows with 241 outcomes, and " in capsys.readouterr().out.splitlines()[-1]


def test_unknown_row_is_told() -> None:
    with pytest.raises(NotFound, match="WL-B2-99"):
        whitelist("WL-B2-99")


def test_unknown_boundary_is_told() -> None:
    with pytest.raises(NotFound, match="B14"):
        whitelist(boundary="B14")
