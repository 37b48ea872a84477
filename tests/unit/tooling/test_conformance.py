"""The generator of docs/conformance.md: what it counts as proof, what it calls wrong, and how it collects results."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.boundaries.table import TABLE, whitelisted
from tests import conformance
from tests.support.conformance_page import render
from tests.support.conformance_plugin import engine_of
from tests.support.proofs import Proof, Record, check_ends, join, missing

TEST = "tests/whitelist/test_b2.py::test_package_is_queued"


def record(engine: str | None, *mark: str, result: str = "passed") -> Record:
    suffix = f"[{engine}]" if engine else ""
    return Record(TEST + suffix, engine, (mark or ("WL-B2-4", "queued"),), result)


def proof_of(*records: Record, row: str = "WL-B2-4", outcome: str = "queued") -> Proof:
    return join(records).proofs[row, outcome]


def everything(result: str = "passed") -> list[Record]:
    marks: list[tuple[str, ...]] = [(row.id, o.name) for row in whitelisted() for o in row.outcomes]
    marks += [(row.id,) for row in whitelisted() if not row.outcomes]
    return [Record(f"{TEST}_{'_'.join(mark)}", None, (mark,), result) for mark in marks]


def test_engine_is_read_from_a_parametrised_id() -> None:
    ids = [
        "t.py::test_a[sqlite]",
        "t.py::test_a[mariadb-2]",
        "t.py::test_a[x-sqlite]",
        "t.py::test_sqlite_file",
        "t.py::t[3]",
    ]
    assert [engine_of(name) for name in ids] == ["sqlite", "mariadb", "sqlite", None, None]


def test_outcome_is_proved_by_a_pass_on_both_engines() -> None:
    assert proof_of(record("sqlite"), record("mariadb")).holds


def test_one_engine_is_half_a_proof() -> None:
    proof = proof_of(record("sqlite"))
    assert (proof.holds, proof.say("sqlite"), proof.say("mariadb")) == (False, "passed", "no test")


def test_test_without_database_proves_alone() -> None:
    proof = proof_of(record(None))
    assert (proof.holds, proof.say("mariadb")) == (True, "passed, no database")


def test_failing_test_beside_a_passing_one_is_no_proof() -> None:
    joined = join([record("sqlite"), record("mariadb"), record("mariadb", result="failed")])
    assert not joined.proofs["WL-B2-4", "queued"].holds
    assert joined.wrong == [f"{TEST}[mariadb] failed"]


def test_skipped_test_proves_nothing() -> None:
    assert not proof_of(record("sqlite", result="skipped"), record("mariadb", result="skipped")).holds


def test_wrong_credentials_are_asked_of_mariadb_alone() -> None:
    proof = proof_of(record("mariadb", "WL-B4-1", "rejected"), row="WL-B4-1", outcome="rejected")
    assert (proof.holds, proof.say("sqlite")) == (True, "not there")
    assert len(join([]).select(lambda p: p.engines == ("mariadb",) and not p.row.is_extension)) == 20


@pytest.mark.parametrize(
    ("mark", "finding"),
    [
        (("WL-B2-99", "queued"), "is marked WL-B2-99, which is no row of the table"),
        (("WL-B2-4", "guessed"), "is marked WL-B2-4 guessed, which is no outcome of that row"),
    ],
)
def test_mark_outside_the_table_is_wrong(mark: tuple[str, ...], finding: str) -> None:
    assert join([record("sqlite", *mark)]).wrong == [f"{TEST} {finding}"]


def test_ordinary_answer_of_a_row_may_be_marked() -> None:
    row = next(row for row in TABLE.values() if row.also)
    assert join([record("sqlite", row.id, row.also[0].name)]).wrong == []


def test_everything_that_is_missing_is_named() -> None:
    nothing = join([])
    named = missing(nothing)
    assert len(nothing.select(lambda proof: not proof.row.is_extension)) == 241
    assert "WL-B2-4 queued: sqlite no test, mariadb no test" in named
    assert {line.split("-")[1] for line in named} == {f"B{number}" for number in (*range(1, 11), 13)}
    assert "WL-B8-3: no test" in named
    assert missing(join(everything())) == []


def test_end_without_row_and_route_bound_by_hand_are_found(tmp_path: Path) -> None:
    package = tmp_path / "src" / "sota"
    (package / "boundaries" / "binding").mkdir(parents=True)
    (package / "boundaries" / "binding" / "app.py").write_text("app.route('GET', '/x', handler, rows)\n")
    (package / "api.py").write_text(
        "@serves('WL-B2-4', 'WL-B2-99')\ndef f(): ...\n@serves_service('WL-B7-3', 'cancel')\ndef g(): ...\n"
        "app.route('GET', '/hidden', f)\n"
    )
    assert check_ends(package) == [
        "WL-B2-99 at src/sota/api.py:2 is no row of the table",
        "src/sota/api.py:5: a route that is bound by hand",
    ]


def test_source_itself_has_neither() -> None:
    assert check_ends() == []


def test_page_is_the_same_for_the_same_results() -> None:
    records = [record("mariadb"), record("sqlite")]
    page = render(join(records))
    assert page == render(join(reversed(records)))
    assert "| WL-B2-4 Queue Package Request | queued |" in page
    assert f"`{TEST}` | passed | passed |" in page


def test_proof_that_rows_share_is_shown_as_shared() -> None:
    both = (("WL-B6-1", "rejected"), ("WL-B6-2", "rejected"))
    joined = join([Record(f"{TEST}_shared", None, both, "passed"), record(None, "WL-B6-2", "rejected")])
    assert [joined.proofs[row, "rejected"].is_shared for row in ("WL-B6-1", "WL-B6-2")] == [True, False]
    page = render(joined)
    assert f"| `{TEST}_shared` (shared by 2 rows) |" in page
    assert "| B6 | 32 | 0 of 22 | 2 of 32 | 2 | 1 |" in page


def test_run_collects_results_and_ends_with_the_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One real run of pytest on a small file distinguishes a pass, a failure and a skip."""
    (tmp_path / "test_small.py").write_text(
        "import pytest\n"
        "@pytest.mark.whitelist('WL-B2-4', 'queued')\n"
        "@pytest.mark.parametrize('engine', ['sqlite', 'mariadb'])\n"
        "def test_good(engine): pass\n"
        "@pytest.mark.whitelist('WL-B2-3', 'campaign_created')\n"
        "def test_bad(): assert False\n"
        "@pytest.mark.whitelist('WL-B2-1', 'inserted')\n"
        "def test_skipped(): pytest.skip('not here')\n"
    )
    monkeypatch.setattr(conformance, "ROOT", Path(conformance.__file__).parents[1])
    page = tmp_path / "page.md"
    code = conformance.main(["--page", str(page), str(tmp_path / "test_small.py"), "-p", "no:cacheprovider"])
    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[-1]) == (1, "1 of 241 outcomes")
    assert any(line.endswith("test_bad failed") for line in lines)
    assert "WL-B2-1 inserted: sqlite skipped, no database, mariadb skipped, no database" in lines
    assert "| queued |" in page.read_text()
