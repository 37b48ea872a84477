"""Random filters, vehicles and dependency graphs for property tests: few words, so that they meet often."""

from __future__ import annotations

from hypothesis import strategies as st

from sota.resolver.dependencies.model import Minimum, Package
from sota.resolver.language.evaluation import Vehicle
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
    VinMatches,
)
from sota.resolver.language.regex import Regex, compile_regex
from sota.resolver.language.version import VersionOperator

VINS = st.from_regex(r"\A[AB][01]{2}Z{13}[0-9]\Z")
NAMES = st.sampled_from(["ivi", "ivi-map", "libtls", "Über Navi"])
VERSIONS = st.sampled_from(["0.9.0", "1.0.0", "1.10.0", "1.9.0", "2.0.0", "v7~rc1"])
PARTS = st.sampled_from(["ECU-7A", "ECU-7B", "TCU-1", "TCU-2"])

ORDERED = st.sampled_from(["0.9", "1", "1.0.0", "1.9.9", "1.10", "2.0.0", "3"])
ATTRIBUTES = st.sampled_from(["region", "trim"])
VALUES = st.sampled_from(["EU", "US", "ivi", "1.0.0"])
GROUPS = st.sampled_from(["pilot", "fleet.7"])

PATTERNS = st.sampled_from(
    [
        "",
        "^A",
        "^B",
        "[0-4]$",
        "^A0",
        "ECU",
        "^ECU-7",
        "U-1$",
        "ivi",
        "^ivi$",
        "tls|map",
        r"^1\.",
        r"^1\.[0-9]\.",
        "^[^0-9]",
        "é",
    ]
)


def regexes() -> st.SearchStrategy[Regex]:
    return PATTERNS.map(compile_regex)


def expressions() -> st.SearchStrategy[Expression]:
    tests: st.SearchStrategy[Expression] = st.one_of(
        st.booleans().map(Constant),
        st.builds(VinMatches, regexes()),
        st.builds(HasComponent, regexes()),
        st.builds(HasPackage, regexes(), regexes()),
        st.builds(HasPackageVersion, NAMES, st.sampled_from(VersionOperator), ORDERED),
        st.builds(HasAttribute, ATTRIBUTES, regexes()),
        st.builds(InGroup, GROUPS),
    )
    return st.recursive(
        tests,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.lists(inner, min_size=2, max_size=4).map(lambda parts: And(tuple(parts))),
            st.lists(inner, min_size=2, max_size=4).map(lambda parts: Or(tuple(parts))),
        ),
        max_leaves=12,
    )


def vehicles() -> st.SearchStrategy[Vehicle]:
    return st.builds(
        Vehicle,
        VINS,
        st.frozensets(st.tuples(NAMES, VERSIONS), max_size=5),
        st.frozensets(PARTS, max_size=3),
        st.dictionaries(ATTRIBUTES, VALUES).map(lambda values: frozenset(values.items())),
        st.frozensets(GROUPS),
    )


GRAPH_NAMES = st.sampled_from("abcde")
GRAPH_VERSIONS = st.sampled_from(["1.0.0", "1.2.0", "1.10.0", "2.0.0"])


def packages() -> st.SearchStrategy[Package]:
    return st.builds(Package, GRAPH_NAMES, GRAPH_VERSIONS)


def needs() -> st.SearchStrategy[list[Minimum]]:
    return st.lists(st.builds(Minimum, GRAPH_NAMES, GRAPH_VERSIONS), max_size=3, unique_by=lambda need: need.name)
