"""Text to tree: parses a filter, compiles its regular expressions, and says clearly what is wrong with it.

>>> parse('vin_matches "^WVW" AND TRUE')
And(parts=(VinMatches(vin=Regex(pattern='^WVW')), Constant(value=True)))
>>> parse('TRUE and FALSE')
Traceback (most recent call last):
...FilterSyntaxError: line 1, column 6: found 'and', expected the end, AND or OR (did you mean AND?)
"""

from __future__ import annotations

import difflib
import re

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from sota.resolver.language.expression import (
    And,
    Constant,
    Expression,
    HasComponent,
    HasPackage,
    Not,
    Or,
    VinMatches,
    walk,
)
from sota.resolver.language.grammar import GRAMMAR, MEANT, READABLE, WORDS
from sota.resolver.language.regex import Regex, RegexError, compile_regex

MAX_CHARACTERS = 65_536
MAX_WORDS = 4_000
MAX_REGEXES = 500
MAX_DEPTH = 100

WORD = re.compile(r"""/\*.*?\*/|//[^\n]*|(?P<regex>"[^"\n]*"|'[^'\n]*')|\w+|&&|\|\||\S""", re.DOTALL)


class FilterSyntaxError(ValueError):
    """A filter that cannot be parsed: where (from 1), what was expected there, and what may have been meant."""

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
        FilterSyntaxError: it is none; or a regular expression in it is none, or something is over its limit.
    """
    _check_size(text)
    try:
        expression: Expression = _PARSER.parse(text)  # type: ignore[assignment]
    except VisitError as error:
        raise error.orig_exc from None
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    deepest = max(depth for depth, _part in walk(expression))
    if deepest > MAX_DEPTH:
        raise FilterSyntaxError(f"the filter is nested {deepest} deep, {MAX_DEPTH} is allowed", 1, 1)
    return expression


@v_args(inline=True)
class _Builder(Transformer[Token, Expression]):
    """Makes the tree while parsing."""

    def either(self, *parts: Expression) -> Or:
        return Or(parts)

    def both(self, *parts: Expression) -> And:
        return And(parts)

    def negation(self, part: Expression) -> Not:
        return Not(part)

    def always(self) -> Constant:
        return Constant(True)

    def never(self) -> Constant:
        return Constant(False)

    def vin_matches(self, vin: Token) -> VinMatches:
        return VinMatches(_regex(vin))

    def has_component(self, part_number: Token) -> HasComponent:
        return HasComponent(_regex(part_number))

    def has_package(self, name: Token, version: Token) -> HasPackage:
        return HasPackage(_regex(name), _regex(version))


def _regex(token: Token) -> Regex:
    try:
        return compile_regex(str(token)[1:-1])
    except RegexError as error:
        raise FilterSyntaxError(str(error), token.line or 1, token.column or 1) from None


# Made once: the tables take some ten milliseconds.
_PARSER = Lark(GRAMMAR, parser="lalr", lexer="contextual", transformer=_Builder(), maybe_placeholders=False)


def _check_size(text: str) -> None:
    """Refuse what is too large before the parser works on it."""
    words, regexes = 0, 0
    if len(text) <= MAX_CHARACTERS:
        for found in WORD.finditer(text):
            words, regexes = words + 1, regexes + (found.lastgroup == "regex")
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
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    reason, suggestion = _describe(text, position)
    return FilterSyntaxError(reason, line, column, expected=_expected(text[:position]), suggestion=suggestion)


def _expected(before: str) -> tuple[str, ...]:
    """Ask the parser what could follow. Its error cannot tell: it has tidied up half of what it knew by then."""
    interactive = _PARSER.parse_interactive(before)
    interactive.exhaust_lexer()
    accepted: set[str] = interactive.accepts()  # type: ignore[no-untyped-call]
    return tuple(readable for name, readable in READABLE.items() if name in accepted)


def _describe(text: str, position: int) -> tuple[str, str | None]:
    """Say what was found at the position, and what may have been meant."""
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
