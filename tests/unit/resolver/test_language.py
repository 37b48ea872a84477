"""The filter language: what parses and what it means, what does not and what is said about it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.resolver.language import parser
from sota.resolver.language.evaluation import Vehicle, evaluate
from sota.resolver.language.expression import (
    And,
    Constant,
    Expression,
    HasAttribute,
    HasComponent,
    HasPackage,
    HasPackageVersion,
    InGroup,
    Not,
    Or,
    Place,
    VinMatches,
    walk,
)
from sota.resolver.language.formatter import WIDTH, format_filter, render
from sota.resolver.language.hints import find_hints
from sota.resolver.language.parser import WORD, FilterSyntaxError, parse
from sota.resolver.language.regex import Regex, compile_regex
from sota.resolver.language.version import VersionOperator
from tests.support.naive_filters import naive
from tests.unit.resolver.fleets import expressions, vehicles

ANYWHERE = "is searched for anywhere, and . is any character: it also finds"
TRUE, FALSE = Constant(True), Constant(False)
VEHICLE = Vehicle(
    "WVWZZZ1KZ00000001",
    frozenset({("ivi", "1.0.0"), ("libtls", "2.1.0"), ("Über Navi", "v7~rc1")}),
    frozenset({"ECU-7A", "TCU-1"}),
    frozenset({("region", "EU"), ("trim", "GTI")}),
    frozenset({"pilot"}),
)
OLDER = HasPackageVersion("ivi", VersionOperator.LESS, "2.1.0")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("TRUE", TRUE),
        ("FALSE", FALSE),
        ("NOT TRUE AND FALSE", And((Not(TRUE), FALSE))),
        ("TRUE OR FALSE AND FALSE", Or((TRUE, And((FALSE, FALSE))))),
        ("(TRUE OR FALSE) AND FALSE", And((Or((TRUE, FALSE)), FALSE))),
        ("NOT (NOT TRUE)", Not(Not(TRUE))),
        ('vin_matches "^WVW"', VinMatches(compile_regex("^WVW"))),
        ("vin_matches '^WVW'", VinMatches(compile_regex("^WVW"))),
        ('vin_matches("^WVW")', VinMatches(compile_regex("^WVW"))),
        ('vin_matches""', VinMatches(compile_regex(""))),
        (r'has_component "^ECU\d"', HasComponent(compile_regex(r"^ECU\d"))),
        ('has_package "ivi" "^1"', HasPackage(compile_regex("ivi"), compile_regex("^1"))),
        ('has_package("ivi", "^1")', HasPackage(compile_regex("ivi"), compile_regex("^1"))),
        ('package_version "ivi" < "2.1.0"', OLDER),
        ("package_version('ivi', <, '2.1.0')", OLDER),
        ('package_version("ivi"<"2.1.0")', OLDER),
        ('package_version "Über Navi" != "7"', HasPackageVersion("Über Navi", VersionOperator.NOT_EQUAL, "7")),
        ('attribute "region" "^EU$"', HasAttribute("region", compile_regex("^EU$"))),
        ('attribute("region", "^EU$")', HasAttribute("region", compile_regex("^EU$"))),
        ('in_group "pilot"', InGroup("pilot")),
        ("in_group('pilot')", InGroup("pilot")),
        ("has_package 'a\"b' \"it's\"", HasPackage(compile_regex('a"b'), compile_regex("it's"))),
        ("/* all\nof them */ TRUE // really", TRUE),
        ("TRUE\n\tAND\r\nFALSE", And((TRUE, FALSE))),
        ('vin_matches "// no comment"', VinMatches(compile_regex("// no comment"))),
    ],
)
def test_filter_means(text: str, meaning: Expression) -> None:
    assert parse(text) == meaning


def test_leaf_knows_its_place_and_is_the_same_elsewhere() -> None:
    text = 'TRUE AND (\n  vin_matches "a" OR\n\tNOT in_group "pilot"\n) AND attribute("trim", "a")'
    places = {
        type(part).__name__: part.place for _depth, part in walk(parse(text)) if not isinstance(part, And | Or | Not)
    }
    assert places == {
        "Constant": Place(1, 1),
        "VinMatches": Place(2, 3),
        "InGroup": Place(3, 6),
        "HasAttribute": Place(4, 7),
    }
    assert parse("TRUE") == parse("  TRUE")


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "the filter is empty, expected (, vin_matches"),
        ("vin_matches", 1, 12, "the filter ends too early, expected a regular expression in quotes or ("),
        ("vin_matches AND", 1, 13, "found 'AND', expected a regular expression in quotes or ("),
        ("vin_matches ABC", 1, 13, "found 'ABC'"),
        ('vin_match "a"', 1, 1, "did you mean vin_matches?"),
        ("TRUE and FALSE", 1, 6, "found 'and', expected the end, AND or OR (did you mean AND?)"),
        ("TRUE\n  && FALSE", 2, 3, "did you mean AND?"),
        ("!TRUE", 1, 1, "did you mean NOT?"),
        ("NOT NOT TRUE", 1, 5, "found 'NOT'"),
        ("ANDTRUE", 1, 1, "found 'ANDTRUE'"),
        ("(TRUE", 1, 6, "the filter ends too early, expected ), AND or OR"),
        ("TRUE)", 1, 5, "found ')', expected the end, AND or OR"),
        ('TRUE "x"', 1, 6, "found a text in quotes, expected the end, AND or OR"),
        ('vin_matches "abc', 1, 13, 'found a " that is not closed on its line'),
        ("/* TRUE", 1, 1, "found a /* that is not closed by */"),
        ('has_package "a"', 1, 16, "expected a regular expression in quotes or ,"),
        ('has_package("a" TRUE', 1, 17, "found 'TRUE'"),
        ('TRUE AND\nvin_matches "("', 2, 13, "not a regular expression: missing ) '('"),
        ('vin_matches "*"', 1, 13, "looks like a file name pattern"),
        ('vin_matches "SAJNX5745SC??????"', 1, 13, "write . for any one character"),
        ('vin_matches "(?=a)"', 1, 13, "look-ahead and look-behind are not supported: '(?='"),
        ('vin_matches "(?<!a)"', 1, 13, "look-behind"),
        (r'vin_matches "(a)\1"', 1, 13, r"references back to a group are not supported: '\\1'"),
        ('vin_matches "a++"', 1, 13, "not a regular expression: bad repetition operator '++'"),
        ('package_version "ivi"', 1, 22, "the filter ends too early, expected <, <=, =, !=, >=, > or ,"),
        ('package_version "ivi" == "2"', 1, 23, "found '==', expected <, <=, =, !=, >=, > or , (did you mean =?)"),
        ('package_version "ivi" =< "2"', 1, 23, "did you mean <=?"),
        ('package_version "ivi" <> "2"', 1, 23, "did you mean !=?"),
        ('package_version "ivi" < 2', 1, 25, "found '2', expected a version in quotes"),
        ('package_version "ivi" < "^2"', 1, 25, "'^2' is not a version that has an order: decimal numbers with dots"),
        ('package_version "" < "2"', 1, 17, "'' is not a package's name"),
        ('has_package "ivi" < "2.0.0"', 1, 19, "did you mean package_version?"),
        ('attribute "sales region" "EU"', 1, 11, "'sales region' is not an attribute's name: 1 to 64 letters"),
        ('attribute "region" "("', 1, 20, "not a regular expression: missing ) '('"),
        ('TRUE OR\n atribute "region" "EU"', 2, 2, "did you mean attribute?"),
        ('in_group "^pilot"', 1, 10, "'^pilot' is not a group's name"),
        ("in_group pilot", 1, 10, "found 'pilot', expected a name in quotes or ("),
        ('group "pilot"', 1, 1, "did you mean in_group?"),
        ("TRUE == TRUE", 1, 6, "found '==', expected the end, AND or OR"),
        (f'vin_matches "{"x" * 513}"', 1, 13, "the regular expression has 513 characters, 512 are allowed"),
        (r'vin_matches "(\pL{100}){10}"', 1, 13, "too large when compiled"),
        (r'vin_matches "\pL\pL\pL\pL\PL\pN\\p\p{Greek}\pL\pL"', 1, 13, "has 9 classes \\p, 8 are allowed"),
    ],
)
def test_mistake_is_said_with_its_place(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert says in str(caught.value)


class NoParser:
    def parse(self, _text: str) -> None:
        raise AssertionError("the parser was asked")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 60_000,
        "(NOT " * 150 + "TRUE" + ")" * 150,
        "TRUE " * 10_000,
        " OR ".join(['vin_matches "a"'] * 501),
        "x" * 65_537,
    ],
)
def test_filter_over_its_limits_is_refused_before_it_is_parsed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "_parser", NoParser)
    with pytest.raises(FilterSyntaxError, match="allowed"):
        parse(text)


def test_nesting_without_parentheses_of_its_own_is_limited_too() -> None:
    assert parse("(NOT " * 49 + "TRUE" + ")" * 49) is not None
    with pytest.raises(FilterSyntaxError, match="nested too deep, 100 is allowed") as caught:
        parse("TRUE OR\n" + "(" * 101 + "TRUE" + ")" * 101)
    assert (caught.value.line, caught.value.column) == (2, 101)


@pytest.mark.parametrize("pattern", ["(a*)*b$", "(a+)+$b", "(a|aa)+b$", "(.*)*.*b$", "a*a*a*a*a*a*b$"])
def test_pattern_that_blows_up_other_engines_takes_linear_time(pattern: str) -> None:
    """Twice the text takes about twice the time; with what backtracks it would be four times, or without end."""
    regex = compile_regex(pattern)
    once, twice = (min(timed(regex, "a" * length) for _ in range(9)) for length in (50_000, 100_000))
    assert twice < 3.5 * once


def timed(regex: Regex, text: str) -> float:
    started = time.process_time()
    for _ in range(4):
        assert not regex.finds(text)
    return time.process_time() - started


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ('vin_matches "^WVW" AND has_package "^ivi$" "^1\\.0"', []),
        (
            'vin_matches "^SAJ?"',
            ["in '^SAJ?' a ? makes the character before it optional: for any one character write ."],
        ),
        (r'vin_matches "^SAJ.?" OR has_component "A\?" OR has_component "[AB]*"', []),
        ('has_component "rev_*"', ["in 'rev_*' a * repeats the character before it: for any text write .*"]),
        (
            'has_package "ivi" "1.0"',
            [f"'1.0' {ANYWHERE} 11.0.2; package_version compares versions"],
        ),
        (
            'attribute "region" "E?"',
            ["in 'E?' a ? makes the character before it optional: for any one character write ."],
        ),
    ],
)
def test_slips_are_hinted_at(text: str, hints: list[str]) -> None:
    assert [hint.text for hint in find_hints(parse(text))] == hints


def test_hints_say_their_places_in_order() -> None:
    found = find_hints(parse('TRUE OR has_component "b*" OR\n has_component "a*" AND NOT vin_matches "c*"'))
    assert [hint.place for hint in found] == [Place(1, 9), Place(2, 2), Place(2, 29)]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('vin_matches "00001$"', True),
        ('vin_matches "^00001"', False),
        ('has_component "^ECU-7"', True),
        ('has_component "^ecu"', False),
        ('has_package "ivi" "^1"', True),
        ('has_package "ivi" "^2"', False),  # libtls has that version, and one package must match both
        ('has_package "i" "1.0"', True),  # nothing is anchored, and . is any character: libtls 2.1.0 matches too
        ('has_package "" "^9"', False),
        ('NOT has_package "ivi" "^2" AND has_component "TCU"', True),
        ('FALSE OR (vin_matches "^1" OR TRUE)', True),
        ('package_version "ivi" < "1.10.0"', True),
        ('package_version "ivi" >= "1"', True),
        ('package_version "ivi" = "1.0.0.0"', True),
        ('package_version "ivi" != "1"', False),
        ('package_version "iv" < "9"', False),  # the name is no regular expression
        ('package_version "libtls" <= "2.0.9"', False),
        ('package_version "Über Navi" != "7"', False),  # a version without order stands in no order to any other
        ('package_version "radio" != "1"', False),
        ('attribute "region" "^E"', True),
        ('attribute "region" "GTI"', False),
        ('attribute "regio" ""', False),
        ('in_group "pilot"', True),
        ('in_group "pilo"', False),
    ],
)
def test_vehicle_passes(text: str, answer: bool) -> None:
    assert evaluate(parse(text), VEHICLE) is answer


def test_test_on_nothing_installed_is_false() -> None:
    bare = Vehicle("WVWZZZ1KZ00000001")
    assert not evaluate(parse('has_package "" "" OR has_component ""'), bare)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("vin_matches   'a'AND(TRUE  OR\nFALSE)", "vin_matches 'a' AND (TRUE OR FALSE)"),
        ('has_package( "a" ,"b" )', 'has_package("a", "b")'),
        ('package_version("ivi"<"2.1")', 'package_version("ivi" < "2.1")'),
        ("attribute ( 'region','^EU$' )", "attribute('region', '^EU$')"),
        ("in_group( 'pilot' )OR in_group'vip'", "in_group('pilot') OR in_group 'vip'"),
        ("TRUE // always  \n  OR /* never */FALSE", "TRUE // always\nOR /* never */ FALSE"),
    ],
)
def test_formatter_tidies_and_keeps_comments(text: str, tidy: str) -> None:
    assert format_filter(text) == tidy
    assert parse(tidy) == parse(text)
    assert format_filter(tidy) == tidy


def test_formatter_breaks_what_does_not_fit_into_a_line() -> None:
    long = r'has_package "^navigation-of-the-head-unit$" "^1\.[0-9]+\."'
    text = f"""in_group 'pilot' OR NOT ({long} OR {long} AND vin_matches("^WVW")) AND // for now
        has_component "^TCU-" OR ({long}) /* twice */"""
    assert (
        format_filter(text)
        == rf"""in_group 'pilot'
OR NOT (
     {long}
     OR {long} AND vin_matches("^WVW")
   )
   AND // for now
   has_component "^TCU-"
OR ({long}) /* twice */"""
    )
    assert format_filter(format_filter(text)) == format_filter(text)


def test_formatter_refuses_what_is_no_filter() -> None:
    with pytest.raises(FilterSyntaxError):
        format_filter("TRUE AND")


@given(expressions())
def test_rendered_tree_parses_to_the_same_meaning(expression: Expression) -> None:
    text = render(expression)
    assert render(parse(text)) == text
    tidy = format_filter(text)
    assert (parse(tidy), WORD.findall(tidy)) == (parse(text), WORD.findall(text))
    assert format_filter(tidy) == tidy
    assert tidy == text or len(text) > WIDTH


@given(expressions(), vehicles())
def test_parsed_filter_agrees_with_a_naive_evaluator(expression: Expression, vehicle: Vehicle) -> None:
    assert evaluate(parse(render(expression)), vehicle) is naive(expression, vehicle)


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused_with_a_place_inside_it(text: str) -> None:
    line, column = place_of_mistake(text) or (1, 1)
    lines = text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1


def place_of_mistake(text: str) -> tuple[int, int] | None:
    try:
        parse(text)
    except FilterSyntaxError as error:
        return error.line, error.column
    return None
