"""What is frozen comes out as it went in, in the order of VINs; an erased VIN leaves nothing but a count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sota.resolver.dependencies.model import LeftOut, Minimum, Package, Plan, Planned
from sota.resolver.recorded.model import CHUNK, Chunk, Content, Kind, Sheet, regroup
from sota.resolver.resolution.model import Decision
from tests.unit.resolver.fleets import VINS

PLANS: list[Plan] = [
    Planned((Package("ivi", "2.1.0"),)),
    Planned((Package("libtls", "1.4.0"), Package("ivi", "2.1.0"))),
    LeftOut("dependency_missing", "ivi/2.1.0 needs libtls 1.4.0 or later, which is not registered"),
    LeftOut("would_break", "the installed Über Navi/v7~rc1 needs ivi 3.0.0 or later"),
]


def frozen(decisions: list[Decision]) -> tuple[Sheet, dict[Kind, list[Chunk]]]:
    sheet = Sheet()
    sheet.add(decisions)
    return sheet, {kind: list(sheet.chunks(kind)) for kind in Kind}


@given(st.dictionaries(VINS, st.sampled_from(PLANS), max_size=30))
def test_decisions_come_back_as_they_were(lots: dict[str, Plan]) -> None:
    sheet, chunks = frozen([Decision([vin], plan) for vin, plan in lots.items()])
    verdicts = sheet.sum_up()
    for kind, kept in ((Kind.CHOSEN, Planned), (Kind.LEFT_OUT, LeftOut)):
        wanted = {vin: plan for vin, plan in lots.items() if isinstance(plan, kept)}
        entries = [
            (vin, verdicts[number].plan) for chunk in chunks[kind] for vin, number in zip(*chunk.read(), strict=True)
        ]
        assert entries == sorted(wanted.items())
        assert sheet.total_of(kind) == len(wanted)
    assert sum(verdict.count for verdict in verdicts) == sheet.total == len(lots)


def test_long_list_is_cut_into_chunks_in_order() -> None:
    vins = [f"A{number:016d}" for number in range(2 * CHUNK + 5)]
    _sheet, chunks = frozen([Decision(vins[CHUNK:], PLANS[0]), Decision(vins[:CHUNK], PLANS[1])])
    assert [(chunk.number, chunk.count) for chunk in chunks[Kind.CHOSEN]] == [(0, CHUNK), (1, CHUNK), (2, 5)]
    assert [vin for chunk in chunks[Kind.CHOSEN] for vin in chunk.read()[0]] == vins
    assert (chunks[Kind.CHOSEN][1].first_vin, chunks[Kind.CHOSEN][1].last_vin) == (vins[CHUNK], vins[2 * CHUNK - 1])
    assert chunks[Kind.LEFT_OUT] == []


def test_vehicles_of_one_verdict_come_together_again() -> None:
    sheet, chunks = frozen([Decision(["C" * 17, "A" * 17], PLANS[0]), Decision(["B" * 17], PLANS[1])])
    [chunk] = chunks[Kind.CHOSEN]
    assert regroup(*chunk.read(), sheet.sum_up()) == [
        Decision(["A" * 17, "C" * 17], PLANS[0]),
        Decision(["B" * 17], PLANS[1]),
    ]


def test_erased_vin_is_taken_out() -> None:
    _sheet, chunks = frozen([Decision(["A" * 17, "C" * 17], PLANS[0]), Decision(["B" * 17], PLANS[1])])
    [chunk] = chunks[Kind.CHOSEN]
    assert chunk.without("D" * 17) is None
    less = chunk.without("A" * 17)
    assert less is not None
    assert (less.read(), less.count, less.first_vin) == ((["B" * 17, "C" * 17], [1, 0]), 2, "B" * 17)
    alone = less.without("B" * 17)
    assert alone is not None
    empty = alone.without("C" * 17)
    assert empty is not None
    assert (empty.read(), empty.count) == (([], []), 0)


def test_content_is_kept_with_its_texts() -> None:
    content = Content(
        [("all", 'vin_matches "é"')],
        [(Package("ivi", "2.1.0"), [Minimum("libtls", "1.4.0")])],
        frozen([Decision(["A" * 17], plan) for plan in PLANS])[0].sum_up(),
    )
    assert Content.unpack(content.pack()) == content
    assert [verdict.plan for verdict in Content.unpack(content.pack()).verdicts] == PLANS
