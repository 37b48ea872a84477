r"""The grammar, for lark's LALR parser, and what its terminals are called in messages.

A word ends where letters, digits and underscores do (``\b``), so ``ANDvin`` is no AND.
"""

from __future__ import annotations

GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: unary (_AND unary)*
?unary: primary
      | _NOT primary -> negation
?primary: _OPEN either _CLOSE
        | test
?test: _TRUE -> always
     | _FALSE -> never
     | _VIN_MATCHES _one -> vin_matches
     | _HAS_COMPONENT _one -> has_component
     | _HAS_PACKAGE _two -> has_package
_one: STRING
    | _OPEN STRING _CLOSE
_two: STRING _COMMA? STRING
    | _OPEN STRING _COMMA? STRING _CLOSE

_OR: /OR\b/
_AND: /AND\b/
_NOT: /NOT\b/
_TRUE: /TRUE\b/
_FALSE: /FALSE\b/
_VIN_MATCHES: /vin_matches\b/
_HAS_COMPONENT: /has_component\b/
_HAS_PACKAGE: /has_package\b/
_OPEN: "("
_CLOSE: ")"
_COMMA: ","
STRING: /"[^"\n]*"/ | /'[^'\n]*'/
COMMENT: /\/\*(.|\n)*?\*\// | /\/\/[^\n]*/
SPACE: /\s+/
%ignore COMMENT
%ignore SPACE
"""

READABLE = {
    "STRING": "a regular expression in quotes",
    "_OPEN": "(",
    "_CLOSE": ")",
    "_COMMA": ",",
    "$END": "the end",
    **{f"_{word.upper()}": word for word in ("vin_matches", "has_package", "has_component")},
    **{f"_{word}": word for word in ("NOT", "AND", "OR", "TRUE", "FALSE")},
}
"""Terminals by the words that a writer of filters knows, in the order in which they are listed."""

WORDS = ("vin_matches", "has_package", "has_component", "NOT", "AND", "OR", "TRUE", "FALSE")

MEANT = {"&&": "AND", "&": "AND", "||": "OR", "|": "OR", "!": "NOT"}
"""What people write who come from other languages."""
