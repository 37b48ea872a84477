"""What is answered by looking at places of a VIN is what RE2 answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pyroaring import BitMap

from sota.resolver.index.vin_pattern import fixed_places
from sota.resolver.index.vins import Vins
from sota.resolver.language.regex import RegexError, compile_regex

VINS = st.text("AB01Z", min_size=17, max_size=17)
ATOMS = st.sampled_from(
    ["A", "0", ".", "[A-B]", "[01]", "[0-4Z]", "[^A]", r"\d", "A{2}", ".{3}", "[AB]{15}", "B?", "0+", "(A|B)", "[Z-A]"]
)
PATTERNS = st.builds(
    lambda start, head, gap, tail, end: start + "".join(head) + gap + "".join(tail) + end,
    st.sampled_from(["", "^", "^^"]),
    st.lists(ATOMS, max_size=4),
    st.sampled_from(["", ".*", ".*.*", "A*"]),
    st.lists(ATOMS, max_size=4),
    st.sampled_from(["", "$", r"\$", "$$"]),
)


def matching(pattern: str, vins: list[str]) -> set[str]:
    column = Vins()
    column.rows[: len(vins)] = np.frombuffer("".join(vins).encode(), dtype=np.uint8).reshape(-1, 17)
    found = column.matching(compile_regex(pattern), BitMap(range(len(vins))))
    return {vins[place] for place in found}


@given(PATTERNS, st.lists(VINS, max_size=20))
def test_column_answers_as_re2_does_one_by_one(pattern: str, vins: list[str]) -> None:
    try:
        regex = compile_regex(pattern)
    except RegexError:
        assume(False)
    assert matching(pattern, vins) == {vin for vin in vins if regex.finds(vin)}


@pytest.mark.parametrize(
    "pattern", ["^1HGC.*[0-4]$", "[0-4]$", "^WVW", "^.{3}AB", "^[A-C][0-9]{4}", "", ".*", "^A.*", ".*9$", "^.{17}$"]
)
def test_common_forms_are_answered_without_re2(pattern: str) -> None:
    assert (fixed_places(pattern) is not None) == (pattern != "")


@pytest.mark.parametrize(
    "pattern", ["HGC", "^A|B$", "^A+", "^(A)", "^A.*B.*C$", r"^\d", "^[^A]", "^A{1,2}", "^.{9}.*.{9}$"]
)
def test_other_forms_are_left_to_re2(pattern: str) -> None:
    assert fixed_places(pattern) is None
