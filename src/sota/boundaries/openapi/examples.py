"""Examples of bodies, one for each message type; a test holds them against the types."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import inspect

from sota.boundaries import audit
from sota.boundaries.b1_browser_web import admin_messages as admin
from sota.boundaries.b1_browser_web import messages as b1
from sota.boundaries.b1_browser_web.rows import NEW_VIN
from sota.boundaries.b2_web_core import messages as b2
from sota.boundaries.b3_web_resolver import fleet_messages as fleet
from sota.boundaries.b3_web_resolver import messages as b3
from sota.boundaries.b3_web_resolver import resolution_messages as resolutions
from sota.boundaries.b5_core_resolver import messages as b5
from sota.boundaries.b12_logistics_core import messages as b12
from sota.boundaries.interaction import Lines
from sota.boundaries.openapi.identity_examples import IDENTITIES, MOMENT, SHA256, VIN
from sota.boundaries.values import InstalledPackage, MessageOnly, PackageId

REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
UPDATE_ID = "01890a5d-ac96-774b-bcce-b302099a8058"
SHA1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
START, END = "2030-06-01T00:00:00Z", "2030-07-01T00:00:00Z"
PACKAGE = {"name": "ivi", "version": "2.1.0"}
LIBRARY = {"name": "libtls", "version": "3.0.4"}
INTERVAL = {"start": START, "end": END}
COMPONENT = {"part_number": "TCU-5G.2", "description": "Telematics unit", "name": "TCU"}
VEHICLE = {"vin": VIN, "registered_at": MOMENT, "connected": True, "last_seen_at": MOMENT}
FILTER = {"name": "with-5g", "expression": 'vin_matches "^WVW" AND has_component "^TCU-5G"'}
REGISTERED = {
    **PACKAGE,
    "size": 48213,
    "sha256": SHA256,
    "sha1": SHA1,
    "installer": "deb",
    "description": "Infotainment",
    "vendor": "",
}
TOKEN = {"id": REQUEST_ID, "name": "nightly report", "role": "viewer", "created_at": MOMENT, "account": "alice"}
AUDIT_RECORD = {
    "number": 17,
    "at": MOMENT,
    "actor": "alice",
    "address": "192.0.2.1",
    "interaction": NEW_VIN.id,
    "object": f"vehicles vin={VIN}",
    "outcome": "inserted",
    "status": 200,
    "previous_hash": SHA256,
    "hash": SHA256[::-1],
}
ADMINISTRATION: Mapping[type, object] = {
    admin.PasswordChange: {"old_password": "the password so far", "new_password": "another, longer password"},
    admin.PasswordChanged: {"message": "Password changed", "csrf_token": "0f" * 32},
    admin.SessionEntry: {
        "address": "192.0.2.1",
        "created_at": MOMENT,
        "last_used_at": MOMENT,
        "ends_at": MOMENT,
        "current": True,
    },
    admin.NewUser: {"name": "alice", "role": "operator"},
    admin.UserChange: {"role": "viewer"},
    admin.User: {
        "name": "alice",
        "role": "operator",
        "disabled": False,
        "password_change_due": True,
        "created_at": MOMENT,
        "password_changed_at": MOMENT,
        "sessions": 0,
    },
    admin.UserCreated: {"message": "Account created", "name": "alice", "password": "shown-once-and-kept-nowhere"},
    admin.NewToken: {"name": "nightly report", "role": "viewer", "days": 30},
    admin.TokenCreated: {
        "message": "Token created",
        "id": REQUEST_ID,
        "token": "sota_shown-once-and-kept-nowhere",
        "expires_at": MOMENT,
    },
    admin.Token: {**TOKEN, "expires_at": MOMENT, "last_used_at": MOMENT},
    audit.AuditRecord: AUDIT_RECORD,
    audit.AuditVerdict: {"holds": True, "records": 17, "hash": SHA256, "broken_at": None, "broken": None},
}
TO_RESOLVE = {**PACKAGE, "description": "Infotainment", "vendor": "", "dependencies": [LIBRARY]}
COUNTS = {"pending": 1, "in_flight": 2, "installed": 40, "failed": 0, "cancelled": 0}
UPDATE = {
    "update_id": UPDATE_ID,
    "install_request_id": REQUEST_ID,
    "vin": VIN,
    "package": PACKAGE,
    "packages": [LIBRARY, PACKAGE],
    "status": "in_flight",
    "stage": "transferring",
    "size": 48213,
    "acknowledged": 16384,
    "created_at": MOMENT,
    "changed_at": MOMENT,
}

NEEDS = {"package": PACKAGE, "needs": LIBRARY}
TYPED = {"expression": FILTER["expression"]}
WHY = {"code": "dependency_missing", "reason": "ivi/2.1.0 needs libtls 3.0.4 or later, which is not registered"}
PLANS = [{"packages": [LIBRARY, PACKAGE], "count": 120}]
CLAUSE = {
    "kind": "test",
    "value": True,
    "text": 'vin_matches "^WVW"',
    "line": 1,
    "column": 1,
    "seen": [VIN],
    "note": "the VIN matches",
}
RESOLUTIONS: Mapping[type, object] = {
    fleet.GroupChange: {"description": "Drivers who try things first"},
    fleet.Group: {"name": "pilot", "vehicles": 250, "description": "Drivers who try things first"},
    fleet.MembersChanged: {"changed": 2, "unknown": []},
    resolutions.TypedExpression: TYPED,
    resolutions.Validation: {"valid": True},
    resolutions.Formatted: TYPED,
    resolutions.Preview: {"count": 188_000, "sample": [VIN]},
    resolutions.PackagePreview: {"chosen": 120, "left_out": 3, "plans": PLANS, "reasons": [{**WHY, "count": 3}]},
    resolutions.ExplainRequest: {"vin": VIN, "package": PACKAGE},
    resolutions.Explanation: {
        "vin": VIN,
        "verdict": "in",
        "filters": [{"name": FILTER["name"], "value": True, "clause": CLAUSE}],
        "steps": [{"package": PACKAGE, "because": "it was asked for"}],
    },
    resolutions.Dependency: NEEDS,
    resolutions.Resolution: {
        "resolution_id": REQUEST_ID,
        "package": PACKAGE,
        "status": "complete",
        "begun_at": MOMENT,
        "completed_at": MOMENT,
        "chosen": 120,
        "left_out": 3,
        "erased": 0,
        "filters": [FILTER],
        "dependencies": [NEEDS],
        "plans": PLANS,
        "reasons": [{**WHY, "count": 3}],
    },
    resolutions.LeftOutVehicle: {"vin": VIN, **WHY},
    resolutions.Difference: {
        "vin": VIN,
        "change": "added",
        "before": WHY,
        "after": {"packages": [LIBRARY, PACKAGE]},
    },
}

EXAMPLES: Mapping[type, object] = {
    **IDENTITIES,
    MessageOnly: {"message": "Row Inserted"},
    PackageId: PACKAGE,
    InstalledPackage: PACKAGE,
    b1.Credentials: {"username": "admin", "password": "the password that was shown"},
    b1.SignedIn: {"username": "admin", "role": "admin", "csrf_token": "0f" * 32},
    b1.PackageMetadata: {**PACKAGE, "description": "Infotainment", "sha256": SHA256, "dependencies": [LIBRARY]},
    b1.ApiDocument: {"openapi": "3.1.0", "info": {"title": "SOTA: Web Server", "version": "1.0.0"}, "paths": {}},
    **ADMINISTRATION,
    **RESOLUTIONS,
    b2.NewVehicle: {"vin": VIN},
    b2.ListedVehicle: {**VEHICLE, "packages": [LIBRARY]},
    b2.VehicleDetail: {**VEHICLE, "components": ["TCU-5G.2"], "packages": [LIBRARY], "updates": [UPDATE]},
    b2.NewPackage: {**REGISTERED, "uri": "4f/4f0c91b6b0a7f5f2f4b8d1a2c3e4f506"},
    b2.Package: {**REGISTERED, "signed": False, "created_at": MOMENT},
    b2.PackageFile: {"uri": "4f/4f0c91b6b0a7f5f2f4b8d1a2c3e4f506", "size": 48213, "sha256": SHA256},
    b2.QueueRequest: {"package": PACKAGE, "priority": 10, "interval": INTERVAL},
    b2.Queued: {"install_request_id": REQUEST_ID},
    b2.NewCampaign: {"package": PACKAGE, "priority": 10, "start": START, "end": END, "name": "Summer"},
    b2.CampaignCreated: {
        "message": "Campaign created",
        "campaign_id": REQUEST_ID,
        "install_request_id": REQUEST_ID,
    },
    b2.InstallRequest: {
        "install_request_id": REQUEST_ID,
        "package": PACKAGE,
        "priority": 10,
        "interval": INTERVAL,
        "status": "running",
        "counts": COUNTS,
        "left_out": 3,
        "created_at": MOMENT,
        "name": "Summer",
    },
    b2.RequestChanged: {"install_request_id": REQUEST_ID, "changed": 1, "counts": COUNTS},
    b2.Blacklisting: {"comment": "The radio stays silent."},
    b2.Blacklisted: {"message": "Package blacklisted", "cancelled": 12, "in_flight": 1},
    b2.BlacklistPreview: {"pending": 12, "in_flight": 1, "vehicles": 13, "installed_on": 40},
    b2.Update: UPDATE,
    b2.CompletedInstall: {"vin": VIN, "completed_at": MOMENT},
    b2.Component: COMPONENT,
    b3.PackageToResolve: TO_RESOLVE,
    b3.VehicleToResolve: {"vin": VIN},
    b3.ComponentToResolve: COMPONENT,
    b3.Filter: FILTER,
    b3.FilterChange: {"expression": FILTER["expression"]},
    b3.Association: {"filter": FILTER["name"]},
    b3.ResolveRequest: {"package": PACKAGE},
    b3.Resolved: {"vin": VIN, "packages": [LIBRARY, PACKAGE]},
    b5.VehicleRegistered: {"fact": "vehicle_registered", "id": "core-17", "vin": VIN},
    b5.FactResult: {"id": "core-17", "status": "recorded"},
    b12.ProvisionedVehicle: {"vin": VIN, "components": ["TCU-5G.2"], "packages": [LIBRARY]},
    b12.ProvisionResult: {"line": 1, "status": "inserted", "vin": VIN},
}


def example_of(kind: object) -> object:
    """Return an example of a body of this type, for NDJSON the text of one line; None if there is no example."""
    if isinstance(kind, Lines):
        return msgspec.json.encode(example_of(kind.item)).decode() + "\n"
    return _example(inspect.type_info(kind))


def _example(info: inspect.Type) -> object:
    match info:
        case inspect.Metadata(type=inner):
            return _example(inner)
        case inspect.ListType(item_type=item):
            return [_example(item)]
        case inspect.DictType():
            return {"region": "EU", "trim": "GTI"}  # the only ones are a vehicle's attributes
        case inspect.UnionType(types=types):
            return _example(types[0])
        case inspect.StructType(cls=kind):
            return EXAMPLES.get(kind)
        case inspect.StrType(pattern=pattern):  # lists of texts are of VINs, or of updates' ids
            return UPDATE_ID if pattern and re.search(pattern, UPDATE_ID) else VIN
    raise LookupError(f"no example of {info}")
