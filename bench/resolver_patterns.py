"""Hostile regular expressions: how soon they are refused, and that those which are accepted take linear time.

Refused is what RE2 cannot do or what is over a limit: look-around, references back, over-long and over-large patterns.
What blows up engines that backtrack is no mistake here: it is accepted, and twice the text takes twice the time.
"""

from __future__ import annotations

import statistics
import time

from bench.processes import BenchmarkError
from sota.resolver.language.parser import FilterSyntaxError, parse
from sota.resolver.language.regex import MAX_LENGTH, Regex, compile_regex

REPEATED = 15
REFUSED = {
    "(?=A)": "look-ahead",
    "(?!A)B": "look-ahead",
    "(?<=A)B": "look-behind",
    "(?<!A)B": "look-behind",
    r"(A+)\1": "references back",
    r"(?P<a>A)(?P=a)": "not a regular expression",
    "(?>A+)B": "not a regular expression",
    "A" * (MAX_LENGTH + 1): "are allowed",
    "(" * 256 + "A" + ")" * 255: "not a regular expression",
    "A{1001}": "not a regular expression",
    "(A{1000}){1000}": "not a regular expression",
    "((A{100}){10}B{100}){10}": "not a regular expression",
    r"[\pL\pN\pS]{1000}": "too large",
    r"(\pL{1,30}\pN{1,30}){1,30}": "too large",
    r"(?i)\pL\pN\pS\pP\pM\pL\pN(\pL\pN){1000}": "are allowed",
    r"(?i)(\pL\pN\pS\pP\pM\pL\pN\PL){100}": "too large",
    r"(?i)" + r"\pL" * 165: "are allowed",
}
BLOWING_UP = ("(a*)*b$", "(a+)+$b", "(a|aa)+b$", "(.*)*.*b$", "a*a*a*a*a*a*b$", "(a?){100}a{100}b")
SHORT, LONG = 50_000, 100_000


def measure_patterns() -> dict[str, float]:
    """Refuse the bad and try the bad-looking; return the worst of each.

    Raises:
        BenchmarkError: a pattern that must be refused was not, or its message says nothing of why.
    """
    return {
        "refusal_ms": max(_refuse(pattern, says) for pattern, says in REFUSED.items()),
        "redos_ratio": max(_ratio(compile_regex(pattern)) for pattern in BLOWING_UP),
    }


def _refuse(pattern: str, says: str) -> float:
    """Return the milliseconds from a filter's text to its error."""
    times = []
    for _ in range(REPEATED):
        started = time.perf_counter()
        try:
            parse(f'vin_matches "{pattern}"')
        except FilterSyntaxError as error:
            times.append((time.perf_counter() - started) * 1000)
            if says not in str(error):
                raise BenchmarkError(f"{pattern[:40]!r} is refused with {error}, which does not say {says}") from None
        else:
            raise BenchmarkError(f"{pattern[:40]!r} is not refused")
    return statistics.median(times)


def _ratio(regex: Regex) -> float:
    """Return how much longer twice the text takes; each time is the best of several, against noise."""
    best = {length: min(_timed(regex, "a" * length) for _ in range(REPEATED)) for length in (SHORT, LONG)}
    return best[LONG] / best[SHORT]


def _timed(regex: Regex, text: str) -> float:
    started = time.perf_counter()
    if regex.finds(text):
        raise BenchmarkError(f"{regex.pattern!r} finds something where nothing is")
    return time.perf_counter() - started
