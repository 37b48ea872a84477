"""Each example of docs/reference/filters.md is evaluated on the page's fleet, one by one and by the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.resolver.language import grammar, parser
from sota.resolver.language.evaluation import evaluate
from sota.resolver.language.parser import FilterSyntaxError, parse
from sota.resolver.language.regex import MAX_LENGTH, MAX_MEMORY_BYTES, MAX_UNICODE_CLASSES
from tests.support.filter_examples import Example, read_examples, read_fleet
from tests.support.fleets import fleet_of, matching

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "filters.md").read_text()
FLEET = read_fleet(PAGE)
EXAMPLES = read_examples(PAGE)


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.error is None], ids=lambda one: one.text)
def test_example_matches_as_the_page_says(example: Example) -> None:
    meaning = parse(example.text)
    assert {vehicle.vin for vehicle in FLEET if evaluate(meaning, vehicle)} == example.vins
    assert matching(fleet_of(FLEET), [meaning]).keys() == example.vins


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.error is not None], ids=lambda one: one.text)
def test_example_of_a_mistake_says_what_the_page_says(example: Example) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(example.text)
    assert str(caught.value) == example.error


def test_page_shows_every_word_of_the_language_and_its_limits() -> None:
    assert len(FLEET) == 4
    shown = " ".join(example.text for example in EXAMPLES)
    assert [word for word in grammar.WORDS if word not in shown] == []
    for limit in (parser.MAX_CHARACTERS, parser.MAX_WORDS, parser.MAX_REGEXES, parser.MAX_DEPTH, MAX_LENGTH):
        assert f"{limit:,}" in PAGE
    assert f"{MAX_MEMORY_BYTES // 1024} KiB" in PAGE
    assert f"{MAX_UNICODE_CLASSES} classes `\\p`" in PAGE


@pytest.mark.parametrize("said", ["", "It matches some."])
def test_example_that_says_nothing_is_a_mistake_of_the_page(said: str) -> None:
    with pytest.raises(ValueError, match="matche"):
        read_examples(f"```filter\nTRUE\n```\n\n{said}\n")
