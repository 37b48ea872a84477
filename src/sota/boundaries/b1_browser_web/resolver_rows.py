"""Rows of B1 that the Web Server passes on to the External Resolver as they are. All are extensions of ours.

Each is the row of B3 of the same path, with the role that it asks for.
"""

from __future__ import annotations

from sota.boundaries.b1_browser_web.page_rows import B1
from sota.boundaries.b3_web_resolver import fleet_rows as fleet
from sota.boundaries.b3_web_resolver import resolution_rows as resolutions
from sota.boundaries.interaction import Interaction, Role
from sota.boundaries.ordinary import AUTHENTICATION_FAILED


def passed_on(number: int, row: Interaction, role: Role) -> Interaction:
    """Make the row of B1 whose calls become those of a row of B3."""
    return B1.extension(
        number,
        row.title,
        row.way,
        *row.outcomes,
        also=tuple(outcome for outcome in row.also if outcome is not AUTHENTICATION_FAILED),
        request=row.request,
        response=row.response,
        role=role,
    )


ROWS = (
    passed_on(24, fleet.ATTRIBUTES, Role.VIEWER),
    passed_on(25, fleet.CHANGE_ATTRIBUTES, Role.OPERATOR),
    passed_on(26, fleet.GROUPS, Role.VIEWER),
    passed_on(27, fleet.GROUP, Role.VIEWER),
    passed_on(28, fleet.KEEP_GROUP, Role.OPERATOR),
    passed_on(29, fleet.DELETE_GROUP, Role.OPERATOR),
    passed_on(30, fleet.MEMBERS, Role.VIEWER),
    passed_on(31, fleet.ADD_MEMBERS, Role.OPERATOR),
    passed_on(32, fleet.REMOVE_MEMBERS, Role.OPERATOR),
    passed_on(33, resolutions.DEPENDENCIES, Role.VIEWER),
    passed_on(34, resolutions.DECLARE_DEPENDENCIES, Role.OPERATOR),
    passed_on(35, resolutions.DROP_DEPENDENCIES, Role.OPERATOR),
    passed_on(36, resolutions.EXPLAIN, Role.VIEWER),
    passed_on(37, resolutions.PREVIEW, Role.VIEWER),
    passed_on(38, resolutions.VALIDATE, Role.VIEWER),
    passed_on(39, resolutions.FORMAT, Role.VIEWER),
    passed_on(60, resolutions.PREVIEW_PACKAGE, Role.VIEWER),
    passed_on(61, resolutions.RESOLUTION, Role.VIEWER),
    passed_on(62, resolutions.CHOSEN, Role.VIEWER),
    passed_on(63, resolutions.LEFT_OUT, Role.VIEWER),
    passed_on(64, resolutions.DIFFERENCE, Role.VIEWER),
)
