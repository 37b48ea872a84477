"""Text to tree: parses a filter, compiles its regular expressions, and reports mistakes clearly.

>>> parse('vin_matches "^WVW" AND TRUE')
And(parts=(VinMatches(vin=Regex(pattern='^WVW')), Constant(value=True)))
>>> parse('TRUE and FALSE')
Traceback (most recent call last):
...FilterSyntaxError: line 1, column 6: found 'and', expected the end, AND or OR (did you mean AND?)
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Generator
from functools import cache
from itertools import islice

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

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
from sota.resolver.language.grammar import GRAMMAR, MEANT, READABLE, WORDS
from sota.resolver.language.regex import Regex, RegexError, compile_regex
from sota.resolver.language.version import VersionOperator

MAX_CHARACTERS = 65_536
MAX_WORDS = 4_000
MAX_REGEXES = 500
MAX_DEPTH = 100

WORD = re.compile(r"""/\*.*?\*/|//[^\n]*|(?P<regex>"[^"\n]*"|'[^'\n]*')|\w+|&&|\|\||[<>!=]=|=[<>]|<>|\S""", re.DOTALL)
LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,128}\Z")
VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}\Z")


class FilterSyntaxError(ValueError):
    """A filter that cannot be parsed: the place (from 1), what was expected, and what may have been meant."""

    def __init__(
        self, reason: str, line: int, column: int, *, expected: tuple[str, ...] = (), suggestion: str | None = None
    ) -> None:
        self.reason, self.line, self.column = reason, line, column
        self.expected, self.suggestion = expected, suggestion
        hint = f" (did you mean {suggestion}?)" if suggestion else ""
        wanted = f", expected {_listed(expected)}" if expected else ""
        super().__init__(f"line {line}, column {column}: {reason}{wanted}{hint}")


def parse(text: str) -> Expression:
    """Parse a filter.

    Raises:
        FilterSyntaxError: it is invalid, or a regular expression in it is, or something exceeds its limit.
    """
    _check_size(text)
    expression = parse_rendered(text)
    deepest = max(depth for depth, _part in walk(expression))
    if deepest > MAX_DEPTH:
        raise FilterSyntaxError(f"the filter is nested {deepest} deep, {MAX_DEPTH} is allowed", 1, 1)
    return expression


def parsing(text: str) -> Generator[None, None, Expression]:
    """Parse as :func:`parse` does, with a pause for each regular expression: compiling them takes long."""
    if len(text) <= MAX_CHARACTERS:
        quoted = (found.group()[1:-1] for found in WORD.finditer(text) if found.lastgroup == "regex")
        for pattern in islice(quoted, MAX_REGEXES):
            with contextlib.suppress(RegexError):  # reported with its place below
                compile_regex(pattern)
            yield
    return parse(text)


def parse_rendered(text: str) -> Expression:
    """Parse text that was written from a tree: it may be longer than the original, which was within the limits.

    Raises:
        FilterSyntaxError: it is not a filter.
    """
    try:
        expression: Expression = _parser().parse(text)  # type: ignore[assignment]
    except VisitError as error:
        raise error.orig_exc from None
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    return expression


@v_args(inline=True)
class _Builder(Transformer[Token, Expression]):
    """Builds the tree while parsing."""

    def either(self, *parts: Expression) -> Or:
        return Or(parts)

    def both(self, *parts: Expression) -> And:
        return And(parts)

    def negation(self, part: Expression) -> Not:
        return Not(part)

    def always(self, word: Token) -> Constant:
        return Constant(True, place=_place(word))

    def never(self, word: Token) -> Constant:
        return Constant(False, place=_place(word))

    def vin_matches(self, word: Token, vin: Token) -> VinMatches:
        return VinMatches(_regex(vin), place=_place(word))

    def has_component(self, word: Token, part_number: Token) -> HasComponent:
        return HasComponent(_regex(part_number), place=_place(word))

    def has_package(self, word: Token, name: Token, version: Token) -> HasPackage:
        return HasPackage(_regex(name), _regex(version), place=_place(word))

    def package_version(self, word: Token, name: Token, operator: Token, version: Token) -> HasPackageVersion:
        exact = _text(name, PRINTABLE, "a package's name: 1 to 128 printable characters")
        numbers = _text(version, VERSION, "a version that has an order: decimal numbers with dots, such as 2.1.0")
        return HasPackageVersion(exact, VersionOperator(str(operator)), numbers, place=_place(word))

    def attribute(self, word: Token, name: Token, value: Token) -> HasAttribute:
        exact = _text(name, LABEL, "an attribute's name: 1 to 64 letters, digits, dots, hyphens or underscores")
        return HasAttribute(exact, _regex(value), place=_place(word))

    def in_group(self, word: Token, name: Token) -> InGroup:
        exact = _text(name, LABEL, "a group's name: 1 to 64 letters, digits, dots, hyphens or underscores")
        return InGroup(exact, place=_place(word))


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


def _regex(token: Token) -> Regex:
    try:
        return compile_regex(str(token)[1:-1])
    except RegexError as error:
        raise FilterSyntaxError(str(error), *_place(token)) from None


def _text(token: Token, form: re.Pattern[str], kind: str) -> str:
    """Parse an exact text. It is not a regular expression; a text that looks like one is refused with a hint."""
    text = str(token)[1:-1]
    if form.match(text) is None:
        raise FilterSyntaxError(f"{text[:80]!r} is not {kind}", *_place(token))
    return text


@cache
def _parser() -> Lark:
    """Return the parser, built at first use: the tables take some ten milliseconds, which a start need not wait for."""
    return Lark(GRAMMAR, parser="lalr", lexer="contextual", transformer=_Builder(), maybe_placeholders=False)


def _check_size(text: str) -> None:
    """Refuse what is too large before the parser works on it."""
    words, regexes, nested = 0, 0, 0
    if len(text) <= MAX_CHARACTERS:
        for found in WORD.finditer(text):
            word = found.group()
            words, regexes = words + 1, regexes + (found.lastgroup == "regex")
            nested += (word == "(") - (word == ")")
            if nested > MAX_DEPTH:
                line, column = _place_of(text, found.start())
                raise FilterSyntaxError(f"parentheses are nested too deep, {MAX_DEPTH} is allowed", line, column)
            if words > MAX_WORDS or regexes > MAX_REGEXES:
                break
        else:
            return
    limits = f"{MAX_CHARACTERS} characters, {MAX_WORDS} words and {MAX_REGEXES} regular expressions"
    raise FilterSyntaxError(f"the filter is too long: {limits} are allowed", 1, 1)


def _explain(text: str, error: UnexpectedInput) -> FilterSyntaxError:
    at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    if at_end:
        position = len(text)
    elif isinstance(error, UnexpectedToken):
        position = error.token.start_pos or 0
    else:
        position = getattr(error, "pos_in_stream", 0)
    line, column = _place_of(text, position)
    reason, suggestion = _describe(text, position)
    expected = _expected(text[:position])
    if READABLE["STRING"] in expected and text[position : position + 1] in ("<", ">", "=", "!"):
        suggestion = "package_version"  # has_package "ivi" < "2.0.0"
    elif suggestion not in {word for one in expected for word in one.split(", ")}:
        suggestion = None  # it would be as wrong here
    return FilterSyntaxError(reason, line, column, expected=expected, suggestion=suggestion)


def _place_of(text: str, position: int) -> Place:
    return Place(text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))


def _expected(before: str) -> tuple[str, ...]:
    """Ask the parser what could follow. Its error does not know: the parser state is partly reduced by then."""
    interactive = _parser().parse_interactive(before)
    interactive.exhaust_lexer()
    accepted: set[str] = interactive.accepts()  # type: ignore[no-untyped-call]
    return tuple(readable for name, readable in READABLE.items() if name in accepted)


def _describe(text: str, position: int) -> tuple[str, str | None]:
    """Return what was found at the position, and what may have been meant."""
    rest = text[position:]
    found = WORD.match(rest)
    if found is None:
        return ("the filter ends too early" if text.strip() else "the filter is empty"), None
    if found.lastgroup == "regex":
        return "found a text in quotes", None
    word = found.group()
    if word in ('"', "'"):
        return f"found a {word} that is not closed on its line", None
    if rest.startswith("/*"):
        return "found a /* that is not closed by */", None
    return f"found {word!r}", _meant(word)


def _meant(word: str) -> str | None:
    if word in WORDS:
        return None
    if word in MEANT:
        return MEANT[word]
    by_lower_case = {known.lower(): known for known in WORDS}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return by_lower_case[near[0]] if near else None


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
