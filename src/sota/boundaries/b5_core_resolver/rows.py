"""Rows of B5, SOTA Core to External Resolver: resolve a package, and keep the Resolver's picture of the fleet true."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver import resolution_rows as web_resolutions
from sota.boundaries.b3_web_resolver import rows as web
from sota.boundaries.b5_core_resolver import messages
from sota.boundaries.interaction import Boundary, Http, Lines, Program, answers, declared
from sota.boundaries.ordinary import AUTHENTICATION_FAILED

B5 = Boundary("B5", Program.SOTA_CORE, Program.EXTERNAL_RESOLVER, also=(AUTHENTICATION_FAILED,))

RESOLVE = B5.like("WL-B5-1", web.RESOLVE)
TELL_FACTS = B5.row(
    "WL-B5-2",
    "Result of an install, and other facts about vehicles",
    Http("POST", "/api/v1/facts", max_body=None),
    answers("recorded", "a result a line: committed, come before, or refused (an unknown VIN)"),
    request=Lines(messages.Fact),
    response=Lines(messages.FactResult),
    note="extension: added by the authors later",
)

PACKAGE_FILTERS = B5.like("X-B5-1", web.PACKAGE_FILTERS)

RESOLUTION = B5.like("X-B5-2", web_resolutions.RESOLUTION)

ROWS = declared(globals())
