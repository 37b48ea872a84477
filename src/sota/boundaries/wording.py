"""Errors of validation in plain words: what a value must be, rather than the pattern that it does not match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from sota.boundaries import values

# Of accounts, tokens and enrolment codes, whose types stand beside their messages.
OWN_WORDS = {
    r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$(?!\n)": (
        "must be an account's name: 1 to 64 letters, digits and . _ @ -, beginning with a letter or digit"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,49}$(?!\n)": (
        "must be a name: 1 to 50 letters, digits, spaces and . _ @ -, beginning with a letter or digit"
    ),
    r"^[A-Za-z0-9_-]{20,64}$(?!\n)": "must be an enrolment code, as an operator was shown it",
    values.PACKAGE_TEXT: "must be NAME/VERSION",
}
WORDS: Mapping[str, str] = OWN_WORDS | {
    meta.pattern: words
    for kind, words in (
        (values.Vin, "must be a VIN: 17 capital letters and digits"),
        (values.PackageName, "must be a package's name: 1 to 100 letters, digits and . + _ -"),
        (values.Version, "must be a version major.minor.patch, in decimal without leading zeros: 2.1.0"),
        (values.PartNumber, "must be 2 to 100 letters, digits and . _ -"),
        (values.Label, "must be a name: 1 to 64 letters, digits and . _ -"),
        (values.ForeignText, "must be 1 to 128 printable characters"),
        (values.Sha256, "must be a SHA-256: 64 hexadecimal digits in small letters"),
        (values.Sha1, "must be a SHA-1: 40 hexadecimal digits in small letters"),
        (values.Installer, "must be an installer's name: deb, archive, …"),
        (values.Id, "must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057"),
    )
    for meta in get_args(kind)[1:]
    if meta.pattern is not None
}
"""What a value must be, by the pattern that it does not match; a part number's is a filter's name's too."""
PATTERN = re.compile(r"^Expected `str` matching regex '(?P<pattern>.*)'$", re.DOTALL)
MESSAGES = (
    (re.compile(r"^Expected `int` >= (?P<bound>-?\d+)$"), "must be {bound} or more"),
    (re.compile(r"^Expected `int` <= (?P<bound>-?\d+)$"), "must be {bound} or less"),
    (re.compile(r"^Expected `str` of length <= (?P<bound>\d+)$"), "may have {bound} characters at most"),
    (re.compile(r"^Expected `str` of length >= (?P<bound>\d+)$"), "must have {bound} characters or more"),
    (re.compile(r"^Invalid RFC3339 encoded datetime$"), "must be a time with its zone: 2030-06-01T08:00:00Z"),
    (re.compile(r"^Expected `datetime` with a timezone component$"), "must have a time zone: 2030-06-01T08:00:00Z"),
)


def in_words(error: Exception) -> str:
    """Write for a person what a validator found: what is wrong where, and what it must be.

    >>> in_words(ValueError("Expected `int` <= 100 - at `$.priority`"))
    'priority must be 100 or less'
    """
    text, at, place = str(error).partition(" - at `")
    where = place.rstrip("`").lstrip("$").lstrip(".") if at else ""
    for known, words in MESSAGES:
        found = known.match(text)
        if found is not None:
            return f"{where or 'the value'} {words.format(**found.groupdict())}"
    found = PATTERN.match(text)
    wanted = WORDS.get(found["pattern"].replace("\\\\", "\\")) if found is not None else None
    return f"{where or 'the value'} {wanted}" if wanted is not None else str(error)
