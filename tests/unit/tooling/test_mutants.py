"""Mutants change the table in one place, and put it back."""

from __future__ import annotations

from sota.boundaries.table import TABLE
from tests.support.mutants import all_mutants, applied

MUTANTS = {mutant.name: mutant for mutant in all_mutants()}


def test_every_declared_status_and_message_has_its_mutant() -> None:
    places = {(*place, mutant.part) for mutant in MUTANTS.values() for place in mutant.places}
    rows = [row for row in TABLE.values() if row.boundary in {"B1", "B2", "B3", "B4", "B5", "B6", "B13"}]
    outcomes = [(row.id, outcome) for row in rows for outcome in (*row.outcomes, *row.also)]
    declared = {(row_id, one.name, "status") for row_id, one in outcomes if one.status is not None}
    declared |= {(row_id, one.name, "message") for row_id, one in outcomes if one.message is not None}
    assert places == declared
    assert len(MUTANTS) == len(all_mutants())


def test_mutant_holds_as_long_as_its_block() -> None:
    row = TABLE["WL-B1-4"]
    before = row.outcomes
    with applied(MUTANTS["WL-B1-4:vin_exists:status"]):
        changed = row.outcome("vin_exists")
    assert changed is not None
    assert (changed.status, changed.message) == (410, "VIN already exists")
    assert row.outcomes == before


def test_mutant_of_a_message_is_one_character_more() -> None:
    with applied(MUTANTS["WL-B4-1:exists:message"]):
        outcome = TABLE["WL-B4-1"].outcome("exists")
    assert outcome is not None
    assert outcome.message == "Record exists."


def test_call_that_is_named_twice_is_changed_in_both_rows() -> None:
    assert MUTANTS["WL-B2-1:inserted:message"].places == (("WL-B2-1", "inserted"), ("WL-B2-8", "stored"))
    with applied(MUTANTS["WL-B2-1:unauthenticated:status"]):
        outcome = TABLE["WL-B2-8"].outcome("unauthenticated")
    assert outcome is not None
    assert outcome.status == 405
