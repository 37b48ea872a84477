r"""The grammar, for lark's LALR parser, and the names of its terminals in messages.

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
?test: TRUE -> always
     | FALSE -> never
     | VIN_MATCHES _one -> vin_matches
     | HAS_COMPONENT _one -> has_component
     | HAS_PACKAGE _two -> has_package
     | PACKAGE_VERSION _ordered -> package_version
     | ATTRIBUTE _named -> attribute
     | IN_GROUP _name -> in_group
_one: STRING
    | _OPEN STRING _CLOSE
_two: STRING _COMMA? STRING
    | _OPEN STRING _COMMA? STRING _CLOSE
_ordered: NAME _COMMA? OPERATOR _COMMA? VERSION
        | _OPEN NAME _COMMA? OPERATOR _COMMA? VERSION _CLOSE
_named: NAME _COMMA? STRING
      | _OPEN NAME _COMMA? STRING _CLOSE
_name: NAME
     | _OPEN NAME _CLOSE

_OR: /OR\b/
_AND: /AND\b/
_NOT: /NOT\b/
TRUE: /TRUE\b/
FALSE: /FALSE\b/
VIN_MATCHES: /vin_matches\b/
HAS_COMPONENT: /has_component\b/
HAS_PACKAGE: /has_package\b/
PACKAGE_VERSION: /package_version\b/
ATTRIBUTE: /attribute\b/
IN_GROUP: /in_group\b/
_OPEN: "("
_CLOSE: ")"
_COMMA: ","
OPERATOR: /<=|>=|!=|<(?!>)|>|=(?![=<>])/
STRING: /"[^"\n]*"/ | /'[^'\n]*'/
NAME: /"[^"\n]*"/ | /'[^'\n]*'/
VERSION: /"[^"\n]*"/ | /'[^'\n]*'/
COMMENT: /\/\*(.|\n)*?\*\// | /\/\/[^\n]*/
SPACE: /\s+/
%ignore COMMENT
%ignore SPACE
"""

TESTS = ("vin_matches", "has_package", "has_component", "package_version", "attribute", "in_group")
CONSTANTS = ("TRUE", "FALSE")
LOGIC = ("NOT", "AND", "OR")

READABLE = {
    "STRING": "a regular expression in quotes",
    "NAME": "a name in quotes",
    "OPERATOR": "<, <=, =, !=, >=, >",
    "VERSION": "a version in quotes",
    "_OPEN": "(",
    "_CLOSE": ")",
    "_COMMA": ",",
    "$END": "the end",
    **{word.upper(): word for word in TESTS},
    "_NOT": "NOT",
    "_AND": "AND",
    "_OR": "OR",
    **{word: word for word in CONSTANTS},
}
"""Terminals by the words that users know, in the order in which they are listed."""

WORDS = (*TESTS, *LOGIC, *CONSTANTS)

MEANT = {
    "&&": "AND",
    "&": "AND",
    "||": "OR",
    "|": "OR",
    "!": "NOT",
    "==": "=",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "group": "in_group",
}
"""What users of other languages write."""
