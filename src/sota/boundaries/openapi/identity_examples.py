"""Examples of bodies about identities of vehicles."""

from __future__ import annotations

from collections.abc import Mapping

from sota.boundaries.b2_web_core import identity_messages as b2
from sota.boundaries.b7_core_rvi import identity_messages as b7

VIN = "WVWZZZ1KZ7W000001"
ID = "01890a5d-ac96-774b-bcce-b302099a8059"
SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
MOMENT, END = "2030-06-01T08:00:00Z", "2032-09-03T08:00:00Z"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIC…\n-----END CERTIFICATE-----\n"
REQUEST = "-----BEGIN CERTIFICATE REQUEST-----\nMIIC…\n-----END CERTIFICATE REQUEST-----\n"
CREDENTIAL = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJpc3M….c2lnbmF0dXJl"
CODE = "q3fXv0mJt6Zr2bYc8dWn5kLhA1sE7uPx"
ANCHOR = {"fingerprint": SHA256, "name": "SOTA authority", "signing": True, "identities": 1200}

IDENTITIES: Mapping[type, object] = {
    b2.NewEnrolment: {"request": REQUEST, "replace": False},
    b2.Enrolled: {
        "message": "Vehicle enrolled",
        "identity_id": ID,
        "vin": VIN,
        "certificate": CERTIFICATE,
        "credential": CREDENTIAL,
        "anchors": CERTIFICATE,
        "expires_at": END,
        "revoked": 0,
    },
    b2.Identity: {
        "identity_id": ID,
        "vin": VIN,
        "fingerprint": SHA256,
        "credential_id": f"credential-{SHA256[:32]}",
        "issuer": SHA256,
        "issued_by": "operator",
        "issued_at": MOMENT,
        "expires_at": END,
    },
    b2.NewCode: {"valid_s": 86400},
    b2.EnrolmentCode: {"message": "Code created", "vin": VIN, "code": CODE, "expires_at": MOMENT},
    b2.CodeEnrolment: {"vin": VIN, "code": CODE, "request": REQUEST},
    b2.Revocation: {"reason": "The unit was stolen."},
    b2.Revoked: {"message": "Identities revoked", "vin": VIN, "revoked": 1},
    b2.RevokedEntry: {"entry": SHA256, "revoked_at": MOMENT, "until": END},
    b2.Anchor: ANCHOR,
    b2.AuthorityState: {"entries": [ANCHOR], "anchors": CERTIFICATE},
    b7.RenewIdentity: {"vin": VIN, "anchors": SHA256, "expires_at": 1_977_000_000},
    b7.NewIdentity: {"due": True},
}
