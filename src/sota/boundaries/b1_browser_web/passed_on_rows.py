"""Rows of B1 that the Web Server passes on as they are. All are extensions of ours.

Each is the row of the same path of B2 (SOTA Core) or of B3 (External Resolver), with the role that it asks for.
"""

from __future__ import annotations

from dataclasses import replace

from sota.boundaries.b1_browser_web.page_rows import B1
from sota.boundaries.b2_web_core import identity_rows as identities
from sota.boundaries.b2_web_core import queue_rows as queues
from sota.boundaries.b3_web_resolver import fleet_rows as fleet
from sota.boundaries.b3_web_resolver import resolution_rows as resolutions
from sota.boundaries.b3_web_resolver import rows as filters
from sota.boundaries.interaction import Answer_co, Outcome, Role, Row, refuses
from sota.boundaries.ordinary import AUTHENTICATION_FAILED

VIN_BUSY = refuses("vin_busy", 409, "VIN is being changed", "another change of this VIN is under way")


def passed_on(id: str, row: Row[Answer_co], role: Role, *also: Outcome, keyed: bool = False) -> Row[Answer_co]:
    """Declare the row of B1 whose calls go on to a row of B2 or B3; ``also``: its own refusals."""
    behind = (outcome for outcome in row.also if outcome is not AUTHENTICATION_FAILED)
    return B1.like(id, row, way=replace(row.http, keyed=keyed), also=(*behind, *also), role=role)


ENROL_BY_CODE = passed_on("X-B1-83", identities.ENROL_BY_CODE, Role.PUBLIC)

ROWS = (
    passed_on("X-B1-12", queues.CANCEL, Role.OPERATOR),
    passed_on("X-B1-13", queues.STOP, Role.OPERATOR),
    passed_on("X-B1-14", queues.RETRY, Role.OPERATOR),
    passed_on("X-B1-15", queues.QUEUE, Role.VIEWER),
    passed_on("X-B1-16", queues.ORDER, Role.OPERATOR),
    passed_on("X-B1-17", queues.HISTORY, Role.VIEWER),
    passed_on("X-B1-18", queues.SYNC, Role.OPERATOR),
    passed_on("X-B1-19", queues.BLACKLIST, Role.ADMIN),
    passed_on("X-B1-20", queues.ALLOW, Role.ADMIN),
    passed_on("X-B1-21", queues.PREVIEW, Role.VIEWER),
    passed_on("X-B1-22", queues.RETIRE, Role.OPERATOR, VIN_BUSY),
    passed_on("X-B1-23", queues.ERASE, Role.ADMIN, VIN_BUSY),
    passed_on("X-B1-24", fleet.ATTRIBUTES, Role.VIEWER),
    passed_on("X-B1-25", fleet.CHANGE_ATTRIBUTES, Role.OPERATOR),
    passed_on("X-B1-26", fleet.GROUPS, Role.VIEWER),
    passed_on("X-B1-27", fleet.GROUP, Role.VIEWER),
    passed_on("X-B1-28", fleet.KEEP_GROUP, Role.OPERATOR),
    passed_on("X-B1-29", fleet.DELETE_GROUP, Role.OPERATOR),
    passed_on("X-B1-30", fleet.MEMBERS, Role.VIEWER),
    passed_on("X-B1-31", fleet.ADD_MEMBERS, Role.OPERATOR),
    passed_on("X-B1-32", fleet.REMOVE_MEMBERS, Role.OPERATOR),
    passed_on("X-B1-33", resolutions.DEPENDENCIES, Role.VIEWER),
    passed_on("X-B1-34", resolutions.DECLARE_DEPENDENCIES, Role.OPERATOR),
    passed_on("X-B1-35", resolutions.DROP_DEPENDENCIES, Role.OPERATOR),
    passed_on("X-B1-36", resolutions.EXPLAIN, Role.VIEWER),
    passed_on("X-B1-37", resolutions.PREVIEW, Role.VIEWER),
    passed_on("X-B1-38", resolutions.VALIDATE, Role.VIEWER),
    passed_on("X-B1-39", resolutions.FORMAT, Role.VIEWER),
    passed_on("X-B1-60", resolutions.PREVIEW_PACKAGE, Role.VIEWER),
    passed_on("X-B1-61", resolutions.RESOLUTION, Role.VIEWER),
    passed_on("X-B1-62", resolutions.CHOSEN, Role.VIEWER),
    passed_on("X-B1-63", resolutions.LEFT_OUT, Role.VIEWER),
    passed_on("X-B1-64", resolutions.DIFFERENCE, Role.VIEWER),
    passed_on("X-B1-65", filters.PACKAGE_FILTERS, Role.VIEWER),
    passed_on("X-B1-66", filters.DETACH_FILTER, Role.OPERATOR),
    passed_on("X-B1-80", identities.ENROL, Role.ADMIN),
    passed_on("X-B1-81", identities.IDENTITIES, Role.VIEWER),
    passed_on("X-B1-82", identities.NEW_CODE, Role.ADMIN),
    ENROL_BY_CODE,
    passed_on("X-B1-84", identities.REVOKE, Role.ADMIN),
    passed_on("X-B1-85", identities.REVOCATIONS, Role.VIEWER),
    passed_on("X-B1-86", identities.AUTHORITY, Role.VIEWER),
)
