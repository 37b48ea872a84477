"""The table is the whitelist: its 99 rows, their 241 outcomes, with the literal status codes and messages."""

from __future__ import annotations

from collections import Counter

import pytest

from sota.boundaries.b1_browser_web import admin_rows
from sota.boundaries.interaction import Boundary, Http, Interaction, Program, Role, Sql, answers
from sota.boundaries.ordinary import REFUSALS
from sota.boundaries.store_result import StoreResult
from sota.boundaries.table import TABLE, build, rows_for, whitelisted
from sota.kit import errors

ROWS = {"B1": 30, "B2": 13, "B3": 9, "B4": 10, "B5": 1, "B6": 10, "B7": 7, "B8": 6, "B9": 6, "B10": 6, "B13": 1}
OUTCOMES = {"B1": 67, "B2": 35, "B3": 25, "B4": 30, "B5": 2, "B6": 32, "B7": 19, "B9": 13, "B10": 16, "B13": 2}
AUTHORS_LATER = ("WL-B1-31", "WL-B2-14", "WL-B4-11", "WL-B5-2", "WL-B6-11", "WL-B7-8", "WL-B8-7", "WL-B9-7", "WL-B10-7")

LITERAL = (
    ("WL-B1-1", "served", 200, None),
    ("WL-B1-1", "not_approved", 409, "Unknown page"),
    ("WL-B1-4", "inserted", 200, "Row Inserted"),
    ("WL-B1-4", "vin_exists", 409, "VIN already exists"),
    ("WL-B1-5", "campaign_created", 200, "Campaign created"),
    ("WL-B1-5", "package_unknown", 404, "Unknown Package ID"),
    ("WL-B1-7", "association_exists", 409, "Filter/Package association already exists"),
    ("WL-B1-8", "queued", 200, None),
    ("WL-B1-8", "package_missing", 404, "Package ID does not exist"),
    ("WL-B1-8", "filters_missing", 404, "No filters associated with package"),
    ("WL-B1-10", "denied", 401, "Access Denied"),
    ("WL-B1-13", "redirected", 301, None),
    ("WL-B1-14", "returned", 301, None),
    ("WL-B1-17", "redirected", 301, None),
    ("WL-B1-19", "filters_missing", 404, "No filters associated with package"),
    ("WL-B1-20", "failed", 404, "Search VINs Request failed"),
    ("WL-B1-21", "storing_failed", 500, "Upload New Package failed"),
    ("WL-B1-21", "unauthenticated", 404, "Authentication Failed"),
    ("WL-B1-24", "filter_missing", 409, "Filter does not exist"),
    ("WL-B1-26", "vin_missing", 409, "VIN does not exist"),
    ("WL-B1-28", "package_not_found", 409, "Package does not exist"),
    ("WL-B1-29", "component_exists", 409, "Component already exists"),
    ("WL-B2-1", "package_exists", 409, "Package already exists"),
    ("WL-B2-7", "failed", 404, "Search VINs Request failed"),
    ("WL-B2-8", "unauthenticated", 404, "Authentication Failed"),
    ("WL-B3-1", "package_exists", 409, "Package already exists"),
    ("WL-B3-3", "filter_label_missing", 404, "Filter label does not exist"),
    ("WL-B3-3", "package_missing", 404, "Package ID does not exist"),
    ("WL-B3-4", "filter_exists", 409, "Filter already exists"),
    ("WL-B3-4", "filter_invalid", 406, "Filter failed validation"),
    ("WL-B4-1", "success", None, "Success"),
    ("WL-B4-1", "exists", None, "Record exists"),
    ("WL-B4-3", "missing", None, "Record does not exists"),
    ("WL-B4-8", "none_installed", None, "No VINs have this package installed"),
    ("WL-B5-1", "filters_missing", 404, "No filters associated with package"),
    ("WL-B6-4", "filter_missing", None, "Filter does not exist"),
    ("WL-B6-4", "package_missing", None, "Package does not exist"),
    ("WL-B7-1", "scheduling_failed", 412, "Task scheduling failed"),
    ("WL-B7-2", "complete", 200, "Installation of {package} complete"),
    ("WL-B7-5", "received", 200, None),
    ("WL-B7-6", "downloaded", 200, "Download of {package} complete"),
    ("WL-B7-6", "incomplete", 400, "Incomplete Download"),
    ("WL-B7-7", "installed", 200, "{package} success"),
    ("WL-B7-7", "already_complete", 409, "{package} failed"),
    ("WL-B7-7", "already_failed", 409, "{package} failed"),
    ("WL-B9-3", "cancelled", None, None),
    ("WL-B10-6", "installed", 200, "{package} success"),
)

B = Boundary("T1", Program.WEB_SERVER, Program.SOTA_CORE)


def test_whitelist_has_99_rows_with_241_outcomes() -> None:
    assert len(whitelisted()) == 99
    assert sum(len(row.outcomes) for row in whitelisted()) == 241


def test_each_boundary_has_its_rows_and_outcomes() -> None:
    assert Counter(row.boundary for row in whitelisted()) == ROWS
    outcomes = Counter(row.boundary for row in whitelisted() for _ in row.outcomes)
    assert outcomes == OUTCOMES


def test_rows_are_numbered_without_gaps_and_in_order() -> None:
    for boundary, count in ROWS.items():
        numbers = [int(row.id.rpartition("-")[2]) for row in whitelisted() if row.boundary == boundary]
        assert numbers == list(range(1, count + 1))


def test_rows_of_the_data_link_and_one_of_the_vehicle_have_no_outcomes() -> None:
    silent = {row.id for row in whitelisted() if not row.outcomes}
    assert silent == {"WL-B9-2", *(f"WL-B8-{number}" for number in range(1, 7))}


@pytest.mark.parametrize(("row_id", "name", "status", "message"), LITERAL)
def test_outcome_is_literal(row_id: str, name: str, status: int | None, message: str | None) -> None:
    outcome = next(outcome for outcome in TABLE[row_id].outcomes if outcome.name == name)
    assert (outcome.status, outcome.message) == (status, message)


@pytest.mark.parametrize("row_id", AUTHORS_LATER)
def test_rows_that_the_authors_added_later_are_extensions(row_id: str) -> None:
    assert TABLE[row_id].is_extension


def test_every_row_of_the_databases_refuses_wrong_credentials() -> None:
    rows = [row for row in TABLE.values() if isinstance(row.way, Sql)]
    assert len(rows) == 22
    assert all(row.outcome("rejected") is not None for row in rows)


def test_every_row_of_the_browser_says_who_may_call_it() -> None:
    assert [row.id for row in TABLE.values() if row.boundary == "B1" and not isinstance(row.role, Role)] == []


def test_no_row_says_that_it_reads_and_lets_viewers_write() -> None:
    writing = [
        row.id
        for row in TABLE.values()
        if row.boundary == "B1"
        and isinstance(row.way, Http)
        and row.way.path.startswith("/api/")
        and row.way.method != "GET"
        and row.role not in {Role.OPERATOR, Role.ADMIN}
        and row not in admin_rows.OWN
        and not row.way.read_only
    ]
    assert writing == ["X-B1-83"]  # a vehicle that has no token yet shows its one-time code


def test_services_between_programs_ask_for_a_credential() -> None:
    rows = [row for row in TABLE.values() if row.boundary in {"B2", "B3", "B5", "B12"}]
    said = {(outcome.status, outcome.message) for row in rows if (outcome := row.outcome("unauthenticated"))}
    assert said == {(404, "Authentication Failed")}
    assert all(row.outcome("unauthenticated") for row in rows)


def test_duplicate_id_is_refused() -> None:
    row = B.row("WL-T1-1", "One", Http("GET", "/one"))
    with pytest.raises(ValueError, match="WL-T1-1 is declared twice"):
        build((row,), (row,))


def test_two_outcomes_of_one_name_are_refused() -> None:
    row = B.row("WL-T1-1", "One", Http("GET", "/one"), answers("found", "one"), also=(answers("again", "x"),))
    with pytest.raises(ValueError, match="two outcomes of one name"):
        build((Interaction(row.id, row.title, row.caller, row.callee, row.way, (*row.outcomes, *row.outcomes)),))


def test_paths_of_one_program_name_their_values_alike() -> None:
    named: dict[tuple[Program, str], str] = {}
    for row in TABLE.values():
        if isinstance(row.way, Http):
            prefix = ""
            for segment in row.way.path.split("/"):
                if segment.startswith("{") and segment.endswith("}"):
                    assert named.setdefault((row.callee, prefix), segment) == segment, row.id
                prefix += "/" + ("{}" if segment.startswith("{") else segment)


def test_every_program_answers_for_its_operation() -> None:
    for program in (Program.WEB_SERVER, Program.SOTA_CLIENT):
        assert {"X-B0-1", "X-B0-2", "X-B0-3"} <= {row.id for row in rows_for(program)}


def test_accepted_is_an_answer_of_long_work_only() -> None:
    accepted = TABLE["WL-B10-1"].outcome("accepted")
    assert accepted is not None
    assert accepted.status == 202
    assert TABLE["WL-B2-4"].outcome("accepted") is None


def test_ordinary_refusals_are_those_of_the_errors() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SotaError)]
    # These two are codes that an instance has, not its class.
    own = {"idempotency_key_reused": 422, "password_change_due": errors.Forbidden.status}
    known = {kind.code: kind.status for kind in kinds} | own
    assert all(known.get(refusal.code) == refusal.status for refusal in REFUSALS)


def test_message_is_filled_in() -> None:
    outcome = TABLE["WL-B7-6"].outcome("downloaded")
    assert outcome is not None
    assert outcome.render(package="ivi/2.1.0") == "Download of ivi/2.1.0 complete"


def test_result_of_a_store_is_an_outcome_of_its_row() -> None:
    result: StoreResult[None] = StoreResult.of(TABLE["WL-B4-8"], "none_installed")
    assert result.text == "No VINs have this package installed"
    with pytest.raises(LookupError, match="WL-B4-8 declares no outcome 'missing'"):
        StoreResult.of(TABLE["WL-B4-8"], "missing")
