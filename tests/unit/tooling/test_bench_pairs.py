"""The comparison of an earlier revision with this tree."""

from __future__ import annotations

import pytest

from bench.pairs import HERE, compare, earlier, read
from bench.processes import BenchmarkError
from bench.report import Measurement, show


def test_the_printed_table_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    show("some", Measurement({"blocks_per_s": 2757.0, "core_us_per_block": 181.7}, {"ratio_to_bare_chain": 0.4751}))
    assert read(capsys.readouterr().out) == {
        "blocks_per_s": 2757.0,
        "core_us_per_block": 181.7,
        "ratio_to_bare_chain": 0.4751,
    }


def test_a_ratio_above_one_is_better_and_is_taken_inside_each_pair() -> None:
    before = [{"a_us": 10.0, "b_per_s": 100.0, "gone_us": 1.0}, {"a_us": 20.0, "b_per_s": 50.0, "gone_us": 1.0}]
    after = [{"a_us": 5.0, "b_per_s": 50.0, "new_us": 1.0}, {"a_us": 10.0, "b_per_s": 25.0, "new_us": 1.0}]
    assert compare(before, after) == {"a_us": (15.0, 7.5, 2.0), "b_per_s": (75.0, 37.5, 0.5)}


def test_less_memory_and_less_time_are_better() -> None:
    before, after = [{"kb_per_vehicle": 60.0, "notify_all_s": 2.0}], [{"kb_per_vehicle": 50.0, "notify_all_s": 1.0}]
    assert compare(before, after) == {"kb_per_vehicle": (60.0, 50.0, 1.2), "notify_all_s": (2.0, 1.0, 2.0)}


def test_what_says_nothing_about_speed_is_left_out() -> None:
    assert compare([{"vehicles": 5.0, "zero_us": 0.0}], [{"vehicles": 5.0, "zero_us": 0.0}]) == {}


def test_the_earlier_tree_is_removed_again() -> None:
    with earlier("HEAD") as tree:
        assert (tree / "bench").is_dir()
        assert tree != HERE
    assert not tree.exists()


def test_an_unknown_revision_is_said() -> None:
    with pytest.raises(BenchmarkError, match="no-such-revision"), earlier("no-such-revision"):
        pass
