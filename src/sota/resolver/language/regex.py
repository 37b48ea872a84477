"""Regular expressions of one dialect, RE2: always linear time, and a bounded size.

>>> compile_regex("^WVW").finds("WVWZZZ1KZ00000001")
True
>>> compile_regex("(?=a)")
Traceback (most recent call last):
sota.resolver.language.regex.RegexError: look-ahead and look-behind are not supported: '(?='
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

MAX_LENGTH = 512
# Some 9,000 instructions: compiling the largest pattern that fits takes a few milliseconds.
MAX_MEMORY_BYTES = 1 << 18
# RE2 spends up to half a millisecond on reading each, before it checks its own limits.
MAX_UNICODE_CLASSES = 8

# As many as the largest filter has, so that its expressions can be compiled one by one before it is parsed.
MAX_REMEMBERED = 512

_OPTIONS = re2.Options()
_OPTIONS.max_mem = MAX_MEMORY_BYTES
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True

ESCAPED = re.compile(r"\\(.)", re.DOTALL)
GLOB = re.compile(r"\w\?{2,}|(?:^|[^\\])\?{3,}|^\*")


class RegexError(ValueError):
    """The text is not a regular expression of this dialect; the message says what is wrong, and how to write it."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled regular expression; equal when the pattern is."""

    pattern: str
    program: Any = field(compare=False, repr=False)  # Any: RE2 has no types

    def finds(self, text: str) -> bool:
        """Return whether the pattern occurs anywhere in the text."""
        return self.program.search(text.encode()) is not None


@lru_cache(maxsize=MAX_REMEMBERED)
def compile_regex(pattern: str) -> Regex:
    """Compile a pattern; recent ones are cached.

    Raises:
        RegexError: it is too long, too large when compiled, or not of this dialect.
    """
    if len(pattern) > MAX_LENGTH:
        raise RegexError(f"the regular expression has {len(pattern)} characters, {MAX_LENGTH} are allowed")
    classes = sum(found.group(1) in "pP" for found in ESCAPED.finditer(pattern))
    if classes > MAX_UNICODE_CLASSES:
        raise RegexError(f"the regular expression has {classes} classes \\p, {MAX_UNICODE_CLASSES} are allowed")
    try:
        return Regex(pattern, re2.compile(pattern.encode(), _OPTIONS))
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise RegexError(_explain(text, pattern)) from None
    except UnicodeEncodeError:
        raise RegexError("the regular expression holds half a character (a lone surrogate)") from None


def _explain(reason: str, pattern: str) -> str:
    """Translate RE2's error into one that helps an author of filters."""
    kind, _, what = reason.partition(": ")
    if kind in ("bad repetition operator", "no argument for repetition operator") and GLOB.search(pattern):
        return f"{pattern!r} looks like a file name pattern: write . for any one character and .* for any text"
    if kind == "invalid perl operator" and what.startswith(("(?=", "(?!", "(?<=", "(?<!")):
        return f"look-ahead and look-behind are not supported: {what!r}"
    if kind == "invalid perl operator" and what.startswith("(?<"):
        return f"look-behind and this form of group are not supported: {what!r}"
    if kind == "invalid escape sequence" and what[1:].isdigit():
        return f"references back to a group are not supported: {what!r}"
    if kind.startswith("pattern too large"):
        return "the regular expression is too large when compiled: use fewer or smaller repetitions"
    return f"not a regular expression: {kind}" + (f" {what!r}" if what else "")
